"""``spool/rejected/``: records that will never be taken, byte for byte, each with its reason beside it.

Nothing in here is ever overwritten or cleared by the program itself. The reason is on disk before the record
moves, so that a power cut between the two leaves the record in the spool, to be rejected again, and at worst
a reason without a record.

Security: it is reached as one of the delivering process's own (`kegnet_client.spool.own_directory`), and what is
read in it is a regular file of bounded size.
"""

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kegnet_client.core.errors import SpoolError
from kegnet_client.core.records import SUFFIXES
from kegnet_client.host.atomic_file import owner_in, write_file
from kegnet_client.host.regular_file import read_regular
from kegnet_client.spool.directory import RECORD_MODE, REJECTED, Spool, SpoolFile, explain, make_rejected, printable
from kegnet_client.spool.own_directory import open_own

REASON_SUFFIX = ".reason"
MAX_REASON_BYTES = 64 * 1024
MAX_NAME_BYTES = 255 - len("-retry-01234567")

_NUMBER = re.compile(r"\.[0-9]+$")


@dataclass(frozen=True, slots=True)
class Rejected:
    """One rejected record. ``reason`` holds when and why, as one printable line."""

    name: str
    reason: str


def reject(spool: Spool, file: SpoolFile, reason: str, wall_ms: int) -> str | None:
    """Move ``file`` out of the way and return its name in ``rejected/``; None when it is gone or replaced.

    Raises `OSError` when the directory cannot be changed; the record stays in the spool then.
    """
    make_rejected(spool.fd)
    with open_own(spool.fd, REJECTED) as fd:
        if not spool.holds(file):
            return None
        target = _free_name(fd, fit_name(file.name))
        when = datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="seconds")
        line = f"{when} {reason}\n".encode("utf-8", "backslashreplace")
        write_file(fd, target + REASON_SUFFIX, line, RECORD_MODE, owner_in(fd))
        if not _move(spool, file, target, fd):
            with suppress(FileNotFoundError):
                os.unlink(target + REASON_SUFFIX, dir_fd=fd)
            return None
        os.fsync(fd)
    os.fsync(spool.fd)
    return target


def _move(spool: Spool, file: SpoolFile, target: str, fd: int) -> bool:
    """Move ``file`` into ``rejected/``, open as ``fd``; False when it is gone or replaced."""
    if not spool.holds(file):  # the disk took its time, and a producer may have used the name again
        return False
    try:
        os.rename(file.name, target, src_dir_fd=spool.fd, dst_dir_fd=fd)
    except FileNotFoundError:
        if spool.has(file.name):  # it is rejected/ that is gone
            raise
        return False
    return True


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
    try:
        with _open_both(spool) as (_, fd):
            return [Rejected(name, _read_reason(fd, name)) for name in sorted(_record_names(fd))]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SpoolError(f"{spool / REJECTED}: {explain_rejected(error)}") from error


def count_rejected(spool: Path) -> int:
    """How many records stand in ``rejected/`` of the spool at ``spool``."""
    try:
        with _open_both(spool) as (_, fd):
            return sum(1 for _ in _record_names(fd))
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise SpoolError(f"{spool / REJECTED}: {explain_rejected(error)}") from error


def retry(spool: Path, name: str) -> str:
    """Put the rejected record ``name`` back into the spool and return its name there.

    It gets a name that no producer uses, since the old one may be taken again. Its reason is deleted.
    """
    base = _NUMBER.sub("", name)
    suffix = next((suffix for suffix in SUFFIXES if base.endswith(suffix)), "")
    target = f"{base.removesuffix(suffix)}-retry-{secrets.token_hex(4)}{suffix}"
    with _open_record(spool, name) as (spool_fd, fd):
        os.rename(name, target, src_dir_fd=fd, dst_dir_fd=spool_fd)
        with suppress(FileNotFoundError):
            os.unlink(name + REASON_SUFFIX, dir_fd=fd)
        os.fsync(spool_fd)
        os.fsync(fd)
    return target


def discard(spool: Path, name: str) -> None:
    """Delete the rejected record ``name`` and its reason, because a person said so."""
    with _open_record(spool, name) as (_, fd):
        os.unlink(name, dir_fd=fd)
        with suppress(FileNotFoundError):
            os.unlink(name + REASON_SUFFIX, dir_fd=fd)
        os.fsync(fd)


@contextmanager
def _open_record(spool: Path, name: str) -> Iterator[tuple[int, int]]:
    """The spool at ``spool`` and its ``rejected/``, in which ``name`` is a record. Raises `SpoolError`."""
    unknown = SpoolError(f"{printable(name)}: no rejected record has this name; see 'kegnet-client rejected list'")
    if "/" in name or not _NUMBER.sub("", name).endswith(SUFFIXES):
        raise unknown
    try:
        with _open_both(spool) as (spool_fd, fd):
            if not stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                raise unknown
            yield spool_fd, fd
    except FileNotFoundError:
        raise unknown from None
    except OSError as error:
        raise SpoolError(f"{spool / REJECTED / printable(name)}: {explain_rejected(error)}") from error


@contextmanager
def _open_both(spool: Path) -> Iterator[tuple[int, int]]:
    """The spool at ``spool`` and its ``rejected/``."""
    spool_fd = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open_own(spool_fd, REJECTED) as fd:
            yield spool_fd, fd
    finally:
        os.close(spool_fd)


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


def fit_name(name: str) -> str:
    """``name``, shortened where it would leave no room for what comes before or behind it in ``rejected/``."""
    stem, dot, suffix = os.fsencode(name).rpartition(b".")
    return os.fsdecode(stem[: MAX_NAME_BYTES - len(dot + suffix)] + dot + suffix)


def _record_names(fd: int) -> Iterator[str]:
    with os.scandir(fd) as entries:
        for entry in entries:
            is_named_so = not entry.name.startswith(".") and _NUMBER.sub("", entry.name).endswith(SUFFIXES)
            if is_named_so and entry.is_file(follow_symlinks=False):
                yield entry.name


def _read_reason(fd: int, name: str) -> str:
    try:
        reason = read_regular(name + REASON_SUFFIX, MAX_REASON_BYTES, dir_fd=fd, follow_link=False)
    except FileNotFoundError:
        return "no reason is kept"
    except OSError as error:
        return f"its reason cannot be read ({error.strerror})"
    return printable(os.fsdecode(reason).strip())
