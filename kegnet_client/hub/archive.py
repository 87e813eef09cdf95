"""The file that ``hub backup`` writes: a tar whose members are listed in it, by name, size and SHA-256.

``manifest.json`` comes first and lists the members after it, in their order; ``sha256`` comes last and holds the
digest of every byte before it, so that no byte can change unnoticed. ``tar`` unpacks it like any other.

What is read may be anybody's: only what the manifest lists is unpacked, only under names that the caller allows, and
only what is an ordinary file. Headers are read one block at a time, so that none of tar's extensions (links, long
names, sparse files) is ever followed.
"""

import errno
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kegnet_client.core.errors import KegnetError

FORMAT = "kegnet-hub-backup"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
DIGEST = "sha256"
_BLOCK_BYTES = 512
_CHUNK_BYTES = 1024 * 1024
_MAX_MANIFEST_BYTES = 64 * 1024
_END = bytes(2 * _BLOCK_BYTES)


class ArchiveError(KegnetError):
    """The backup is not what ``hub backup`` wrote: take another one; nothing was restored from this one."""

    exit_code = 65


class Member(NamedTuple):
    """One line of the manifest."""

    name: str
    size: int
    sha256: str


OnBytes = Callable[[int], None]
"""Is called with how many bytes more are done."""


def write(stream: BinaryIO, sources: Mapping[str, BinaryIO], made_ms: int, on_bytes: OnBytes) -> None:
    """Write what ``sources`` hold, under their names, to ``stream``. Each is read twice."""
    members = [_describe(name, source) for name, source in sources.items()]
    facts = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "made_ms": made_ms,
        "files": [member._asdict() for member in members],
    }
    manifest = json.dumps(facts, indent=1).encode() + b"\n"
    digest = hashlib.sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        stream.write(data)
        on_bytes(len(data))

    mtime_s = made_ms // 1000
    _put_member(put, MANIFEST, len(manifest), io.BytesIO(manifest), mtime_s)
    for member in members:
        _put_member(put, member.name, member.size, sources[member.name], mtime_s)
    stream.write(_trailer(digest.hexdigest(), mtime_s))


def unpack(
    stream: BinaryIO, directory: Path, most_bytes: Mapping[str, int | None], on_bytes: OnBytes
) -> tuple[int, list[Member]]:
    """Unpack ``stream`` into ``directory``, each file on disk on return; when it was made (Unix ms), and what it held.

    ``most_bytes`` has each name that is allowed, with the most that it may hold. Raises `ArchiveError` for whatever is
    not as it was written, with some of the files there; `OSError` where the disk does not take them.
    """
    digest = hashlib.sha256()

    def take(size: int) -> bytes:
        data = stream.read(size)
        if len(data) < size:
            raise ArchiveError("the backup is cut short")
        digest.update(data)
        on_bytes(size)
        return data

    first = _read_header(take(_BLOCK_BYTES))
    if first.name != MANIFEST or not 0 < first.size <= _MAX_MANIFEST_BYTES:
        raise ArchiveError("this is no backup of a hub")
    made_ms, members = _parse_manifest(b"".join(_content(take, first.size)))
    _judge(members, most_bytes)
    free = os.statvfs(directory)
    if sum(member.size for member in members) > free.f_bavail * free.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for member in members:
        header = _read_header(take(_BLOCK_BYTES))
        if (header.name, header.size) != (member.name, member.size):
            raise ArchiveError(f"the backup is damaged: {member.name} is not where it has to be")
        _unpack_member(take, directory / member.name, member)
    expected = _trailer(digest.hexdigest(), int(first.mtime))
    if stream.read(len(expected) + 1) != expected:
        raise ArchiveError("the backup is damaged: its digest is not that of its content")
    return made_ms, members


def _describe(name: str, source: BinaryIO) -> Member:
    digest, size = hashlib.sha256(), 0
    source.seek(0)
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return Member(name, size, digest.hexdigest())


def _put_member(put: Callable[[bytes], object], name: str, size: int, source: BinaryIO, mtime_s: int) -> None:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, 0o600, mtime_s
    put(header.tobuf(tarfile.GNU_FORMAT))
    source.seek(0)
    while chunk := source.read(_CHUNK_BYTES):
        put(chunk)
    put(bytes(-size % _BLOCK_BYTES))


def _trailer(hexdigest: str, mtime_s: int) -> bytes:
    """What comes after the last member, to the end."""
    parts: list[bytes] = []
    text = hexdigest.encode() + b"\n"
    _put_member(parts.append, DIGEST, len(text), io.BytesIO(text), mtime_s)
    return b"".join([*parts, _END])


def _read_header(block: bytes) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.TarError, ValueError):
        raise ArchiveError("this is no backup of a hub, or it is damaged") from None
    if header.type != tarfile.REGTYPE:
        raise ArchiveError("the backup is damaged: it holds something that is no ordinary file")
    return header


def _content(take: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = take(min(left, _CHUNK_BYTES))
        left -= len(chunk)
        yield chunk
    take(-size % _BLOCK_BYTES)


def _parse_manifest(data: bytes) -> tuple[int, list[Member]]:
    try:
        facts = json.loads(data)
        if facts["format"] == FORMAT and facts["version"] != FORMAT_VERSION:
            raise ArchiveError("the backup was made by a newer version of kegnet-client: update this one")
        made_ms, members = facts["made_ms"], [Member(**entry) for entry in facts["files"]]
        if facts["format"] == FORMAT and type(made_ms) is int and all(_is_sound(member) for member in members):
            return made_ms, members
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise ArchiveError("this is no backup of a hub, or it is damaged")


def _is_sound(member: Member) -> bool:
    is_typed = type(member.name) is str and type(member.sha256) is str and type(member.size) is int
    return is_typed and member.size >= 0


def _judge(members: list[Member], most_bytes: Mapping[str, int | None]) -> None:
    names = [member.name for member in members]
    if len(set(names)) < len(names):
        raise ArchiveError("the backup lists a file twice")
    for member in members:
        if member.name not in most_bytes:
            raise ArchiveError(f"the backup lists {member.name[:60]!r}, which is no file of a hub")
        most = most_bytes[member.name]
        if most is not None and member.size > most:
            raise ArchiveError(f"the backup's {member.name} is too large to be a hub's")


def _unpack_member(take: Callable[[int], bytes], path: Path, member: Member) -> None:
    digest = hashlib.sha256()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        for chunk in _content(take, member.size):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(fd)
    if digest.hexdigest() != member.sha256:
        raise ArchiveError(f"the backup is damaged: {member.name} is not what was written into it")
