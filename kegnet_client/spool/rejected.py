"""``spool/rejected/``: records that will never be taken, byte for byte, each with its reason beside it.

Nothing in here is ever overwritten or cleared by the program itself. The reason is on disk before the record
moves, so that a power cut between the two leaves the record in the spool, to be rejected again, and at worst
a reason without a record.
"""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kegnet_client.core.errors import SpoolError
from kegnet_client.core.records import SUFFIXES
from kegnet_client.host.atomic_file import sync_directory, write_file
from kegnet_client.spool.directory import RECORD_MODE, REJECTED, Spool, SpoolFile, explain

REASON_SUFFIX = ".reason"
DIRECTORY_MODE = 0o750
MAX_NAME_BYTES = 255 - len("-retry-01234567")

_NUMBER = re.compile(r"\.[0-9]+$")


@dataclass(frozen=True, slots=True)
class Rejected:
    """One rejected record. ``reason`` holds when and why, as one line."""

    name: str
    reason: str


def reject(spool: Spool, file: SpoolFile, reason: str, wall_ms: int) -> str | None:
    """Move ``file`` out of the way and return its name in ``rejected/``; None when it is gone or replaced.

    Raises `OSError` when the directory cannot be changed; the record stays in the spool then.
    """
    with _directory(spool.fd) as fd:
        if not spool.holds(file):
            return None
        target = _free_name(fd, _fitting(file.name))
        when = datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="seconds")
        write_file(fd, target + REASON_SUFFIX, f"{when} {reason}\n".encode("utf-8", "backslashreplace"), RECORD_MODE)
        if not spool.holds(file):  # the disk took its time, and a producer may have used the name again
            os.unlink(target + REASON_SUFFIX, dir_fd=fd)
            return None
        os.rename(file.name, target, src_dir_fd=spool.fd, dst_dir_fd=fd)
        os.fsync(fd)
    os.fsync(spool.fd)
    return target


def explain_rejected(error: OSError) -> str:
    """What an operating system's error means for ``rejected/``, and what to do."""
    remedies = {
        errno.ENOTDIR: "move away what stands there, a directory is made in its place",
        errno.EXDEV: "it has to be on the file system of the spool: unmount what is mounted there",
    }
    remedy = remedies.get(error.errno or 0)
    return f"{os.strerror(error.errno)}; {remedy}" if error.errno and remedy else explain(error)


def list_rejected(spool: Path) -> list[Rejected]:
    """What stands in ``rejected/`` of the spool at ``spool``, by name."""
    directory = spool / REJECTED
    try:
        names = sorted(path.name for path in directory.iterdir() if _is_record(path.name))
        return [Rejected(name, _read_reason(directory / (name + REASON_SUFFIX))) for name in names]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SpoolError(f"{directory}: {explain_rejected(error)}") from error


def count_rejected(spool: Path) -> int:
    """How many records stand in ``rejected/`` of the spool at ``spool``."""
    try:
        with os.scandir(spool / REJECTED) as entries:
            return sum(_is_record(entry.name) for entry in entries)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise SpoolError(f"{spool / REJECTED}: {explain_rejected(error)}") from error


def retry(spool: Path, name: str) -> str:
    """Put the rejected record ``name`` back into the spool and return its name there.

    It gets a name that no producer uses, since the old one may be taken again. Its reason goes.
    """
    base = _NUMBER.sub("", name)
    suffix = next((suffix for suffix in SUFFIXES if base.endswith(suffix)), None)
    if suffix is None or "/" in name:
        raise SpoolError(f"{name}: no rejected record has this name; see 'kegnet-client rejected list'")
    target = f"{base.removesuffix(suffix)}-retry-{secrets.token_hex(4)}{suffix}"
    directory = spool / REJECTED
    try:
        (directory / name).rename(spool / target)
        (directory / (name + REASON_SUFFIX)).unlink(missing_ok=True)
        for path in (spool, directory):
            sync_directory(path)
    except FileNotFoundError:
        raise SpoolError(f"{name}: no rejected record has this name; see 'kegnet-client rejected list'") from None
    except OSError as error:
        raise SpoolError(f"{directory / name}: {explain_rejected(error)}") from error
    return target


@contextmanager
def _directory(spool_fd: int) -> Iterator[int]:
    try:
        os.mkdir(REJECTED, DIRECTORY_MODE, dir_fd=spool_fd)
    except FileExistsError:
        is_new = False
    else:
        is_new = True
        os.fsync(spool_fd)
    fd = os.open(REJECTED, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=spool_fd)
    try:
        if is_new and os.geteuid() == 0:
            # `sudo kegnet-client send` must not make one that the service cannot use.
            owner = os.fstat(spool_fd)
            os.fchown(fd, owner.st_uid, owner.st_gid)
        yield fd
    finally:
        os.close(fd)


def _free_name(fd: int, name: str) -> str:
    candidate, number = name, 1
    while _is_taken(fd, candidate):
        number += 1
        candidate = f"{name}.{number}"
    return candidate


def _is_taken(fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _fitting(name: str) -> str:
    """``name``, shortened where its reason's name would be too long for the file system."""
    stem, dot, suffix = os.fsencode(name).rpartition(b".")
    return os.fsdecode(stem[: MAX_NAME_BYTES - len(dot + suffix)] + dot + suffix)


def _is_record(name: str) -> bool:
    return not name.startswith(".") and _NUMBER.sub("", name).endswith(SUFFIXES)


def _read_reason(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except FileNotFoundError:
        return "no reason is kept"
