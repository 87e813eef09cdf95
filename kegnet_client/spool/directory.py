"""The spool: a directory that is the queue.

A producer only writes a file and renames it into place; `enqueue` is how this package does it. One instance
at a time, the one that holds the directory's lock (see `lock`), reads, removes and rejects. Nothing here
removes a file but `Spool.remove`, and it removes only what was read: right before the unlink the bytes that stand there
are compared with those that were sent. Its times and its inode would not do: whoever writes another record in its place
may keep them (`cp -p`, rsync, tar). The same bytes are the same record. What is written between that look and the
unlink, within microseconds, is lost: no system call removes a file only if it is still the same.

Names are what the file system has, not necessarily UTF-8: `str` with surrogate escapes, which `printable`
makes fit for messages.
"""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from kegnet_client.core.errors import KegnetError, RecordError, SpoolError
from kegnet_client.core.records import (
    MAX_FILE_BYTES,
    Pour,
    Reading,
    Record,
    format_record,
    is_record_name,
    parse,
    spool_suffix,
)
from kegnet_client.host.atomic_file import owner_in, write_file
from kegnet_client.spool.lock import lock_spool
from kegnet_client.spool.own_directory import make_own

REJECTED = "rejected"
REJECTED_MODE = 0o750
RECORD_MODE = 0o640
"""The owner's, and readable by the spool's group, which the daemon is in."""
MIN_FREE_FOR_READINGS = 0.05
SETTLED_AFTER_S = 10.0
"""A file in place that no event announced and no newline ends is whole once it has not changed for so long."""

T = TypeVar("T")

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class StuckFileError(Exception):
    """A file that is named like a record and cannot be taken; the message says what to do. It stays."""


class SpoolFile(NamedTuple):
    """A spool file as it was when it was read; ``data`` is empty where ``size`` is more than a record has.

    Two are equal if they have the same name and the same bytes.
    """

    name: str
    data: bytes
    size: int
    digest: bytes = b""
    """What stands for ``data`` in a file that is `condensed`."""

    def condensed(self) -> "SpoolFile":
        """The same file in little memory: with a digest instead of its data. It is equal to none but such."""
        return self if self.digest else self._replace(data=b"", digest=hashlib.sha256(self.data).digest())

    def record(self) -> Record:
        """The record in it; `RecordError` when it is none."""
        if self.size > MAX_FILE_BYTES:
            raise RecordError(f"the file has {self.size} bytes, a record fits in {MAX_FILE_BYTES}")
        return parse(self.name, self.data)


def printable(name: str) -> str:
    """``name`` for a message: nothing in it can break a line or an encoding."""
    if name.isascii() and name.isprintable():
        return name
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def enqueue(directory: Path, record: Record) -> str:
    """Put ``record`` into the spool and return its name there; when this returns, a power cut does not lose it.

    Raises `SpoolError` that says what is wrong with the spool.
    """
    name = new_name(record)
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if isinstance(record, Reading) and (problem := find_no_room(fd)):
                raise SpoolError(f"{directory}: {problem}")
            write_file(fd, name, format_record(record), RECORD_MODE, owner_in(fd))
        finally:
            os.close(fd)
    except OSError as error:
        raise SpoolError(f"{directory}: {explain(error)}") from error
    return name


def new_name(record: Record) -> str:
    """A name for ``record`` in the spool; its random part keeps a rename from ever meeting another record's name."""
    match record:
        case Pour(pin=pin, started_ms=at_ms):
            what = f"pin{pin}"
        case Reading(sensor=what, taken_ms=at_ms):  # pragma: no branch
            pass
    return f"{at_ms}-{what}-{secrets.token_hex(4)}{spool_suffix(record)}"


def find_no_room(fd: int) -> str | None:
    """Why the disk of the spool at ``fd`` has no room for readings, and what to do; None when it has."""
    disk = os.fstatvfs(fd)
    # Some file systems (btrfs, network ones) do not count blocks.
    if not disk.f_blocks or disk.f_bavail / disk.f_blocks >= MIN_FREE_FOR_READINGS:
        return None
    return f"less than {MIN_FREE_FOR_READINGS:.0%} of the disk is free, which is kept for pours; make room"


def count_waiting(directory: Path) -> int:
    """How many records wait in the spool at ``directory``; raises `SpoolError` when it cannot be read."""
    return sum(is_regular for _, is_regular in _record_names(directory))


def find_irregular(directory: Path) -> list[str]:
    """The names in the spool at ``directory`` that only look like records; raises `SpoolError`."""
    return [name for name, is_regular in _record_names(directory) if not is_regular]


def _record_names(directory: Path) -> Iterator[tuple[str, bool]]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if is_record_name(entry.name):
                    yield entry.name, entry.is_file(follow_symlinks=False)
    except OSError as error:
        raise SpoolError(f"{directory}: {explain(error)}") from error


def explain(error: OSError) -> str:
    """What an operating system's error means for a spool, and what to do."""
    remedies = {
        errno.ENOENT: "make it, or fix [Spool] directory in client.conf",
        errno.EEXIST: "something else stands there: remove it, or fix [Spool] directory in client.conf",
        errno.ENOTDIR: "fix [Spool] directory in client.conf",
        errno.EACCES: "give this user access to it, or use sudo",
        errno.EPERM: "give this user access to it, or use sudo",
        errno.ENOSPC: "make room on the disk",
        errno.EDQUOT: "make room on the disk",
        errno.EROFS: "make the file system writable again (mount -o remount,rw)",
    }
    text = os.strerror(error.errno) if error.errno else str(error)
    remedy = remedies.get(error.errno or 0)
    return f"{text}; {remedy}" if remedy else text


def make_rejected(spool_fd: int) -> None:
    """Make ``rejected/`` in the spool that is open as ``spool_fd``, unless something stands there."""
    make_own(spool_fd, REJECTED, REJECTED_MODE)


class Spool:
    """The spool directory ``path``, opened, and made if it is missing and to be made; else `SpoolError`.

    ``remake`` makes anew what somebody removed later, of a directory in another spool, whose lock is its own, too.
    """

    def __init__(self, path: Path, *, make: bool = True, remake: Callable[[], object] | None = None) -> None:
        self.path = path
        self._remake = remake
        self._lock_fd: int | None = None
        try:
            self.fd = self._make_and_open() if make else self._open()
        except OSError as error:
            raise SpoolError(f"{path}: {explain(error)}") from error

    def close(self) -> None:
        """Give up the directory and the lock on it."""
        os.close(self.fd)
        if self._lock_fd is not None:
            os.close(self._lock_fd)

    def place(self) -> Path | None:
        """Where the directory is now, which may have been moved away from ``path``; None where /proc is not there."""
        try:
            return Path(f"/proc/self/fd/{self.fd}").readlink()
        except OSError:
            return None

    def is_writable(self) -> bool:
        """Whether this user can change the directory."""
        return os.access(".", os.W_OK | os.X_OK, dir_fd=self.fd)

    def has(self, name: str) -> bool:
        """Whether anything stands under ``name``, as far as can be told."""
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError:
            pass  # a directory that may not be searched, a damaged inode
        return True

    def lock(self) -> None:
        """Become the one instance that delivers from here; `SpoolInUseError` when there is one."""
        self._lock_fd = lock_spool(self.path, self.fd)

    def reopen_if_replaced(self) -> bool:
        """Go on with the directory that stands at the path now, if it is another; True then.

        Raises `SpoolError` or `SpoolInUseError` when that one cannot be had; the old one stays then.
        """
        try:
            if os.path.samestat(self.path.stat(), os.fstat(self.fd)):
                return False
        except FileNotFoundError:
            pass
        except OSError as error:
            raise SpoolError(f"{self.path}: {explain(error)}") from error
        try:
            if self._remake is not None:
                self._remake()
            fd = self._make_and_open() if self._remake is None else self._open()
        except OSError as error:
            raise SpoolError(f"{self.path}: {explain(error)}") from error
        try:
            lock_fd = lock_spool(self.path, fd) if self._remake is None else None
        except KegnetError:
            os.close(fd)
            raise
        # Behind the same number, which other threads may be using at this moment.
        os.dup2(fd, self.fd, inheritable=False)
        os.close(fd)
        if self._lock_fd is not None:
            os.close(self._lock_fd)
        self._lock_fd = lock_fd
        return True

    def read(self, name: str) -> SpoolFile:
        """The file ``name`` as it is now.

        Raises `FileNotFoundError` when it is gone, `StuckFileError` when it cannot be taken. Never follows a link,
        never blocks.
        """
        return self._with_file(name, _read)

    def read_with_time(self, name: str) -> tuple[SpoolFile, int]:
        """The same, and when it was changed last, in nanoseconds of Unix time."""
        # The bytes first: what is written meanwhile makes it younger.
        return self._with_file(name, lambda fd, name: (_read(fd, name), os.fstat(fd).st_mtime_ns))

    def remove(self, file: SpoolFile) -> bool:
        """Remove ``file`` after its acknowledgement; False when it is gone or replaced by a newer one.

        Raises `OSError` when the directory cannot be changed, or what stands there cannot be compared.
        """
        if not self.holds(file):
            return False
        try:
            os.unlink(file.name, dir_fd=self.fd)
        except FileNotFoundError:  # somebody was quicker
            return False
        return True

    def holds(self, file: SpoolFile) -> bool:
        """Whether under the name of ``file`` stands what was read, byte for byte, and not something newer or nothing.

        Raises `OSError` when it cannot be compared.
        """
        try:
            fd = os.open(file.name, _READ, dir_fd=self.fd)
            try:
                if file.data:
                    # One byte more shows what has grown.
                    return os.pread(fd, len(file.data) + 1, 0) == file.data
                found = _read(fd, file.name)
            finally:
                os.close(fd)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno in _NOT_REGULAR:
                return False
            raise
        return (found.condensed() if file.digest else found) == file

    def _make_and_open(self) -> int:
        try:
            # Sticky, so that no producer removes what another one wrote; the group is that of a setgid parent.
            self.path.mkdir(mode=0o1770, parents=True)
        except FileExistsError:
            return self._open()
        fd = self._open()
        try:
            make_rejected(fd)  # at once: a producer that was quicker would own it
        except OSError:
            os.close(fd)
            raise
        return fd

    def _open(self) -> int:
        return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _with_file(self, name: str, read: Callable[[int, str], T]) -> T:
        try:
            fd = os.open(name, _READ, dir_fd=self.fd)
            try:
                return read(fd, name)
            finally:
                os.close(fd)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in _NOT_REGULAR:
                raise StuckFileError(NOT_REGULAR) from None
            raise StuckFileError(why_stuck(error)) from error


def _read(fd: int, name: str) -> SpoolFile:
    """The file that is open as ``fd``, as it is now. `OSError` with one of `_NOT_REGULAR` for what is none."""
    # Not os.read: a pipe refuses to be read from a given place, so that its kind need not be asked for.
    data = os.pread(fd, MAX_FILE_BYTES + 1, 0)
    if len(data) <= MAX_FILE_BYTES:
        return SpoolFile(name, data, len(data))
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):  # a device without an end
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
    return SpoolFile(name, b"", max(status.st_size, len(data)))


_NOT_REGULAR = {errno.ELOOP, errno.ENXIO, errno.ESPIPE, errno.EISDIR}
"""How a link, a socket, a pipe and a directory are refused."""


NOT_REGULAR = "not a regular file; a record is one, so remove it or rename it"


def why_stuck(error: OSError) -> str:
    """Why a file that is named like a record cannot be taken, and what to do."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return "cannot be read; give it to the group of the spool (chgrp) and make it readable for that (chmod g+r)"
        case _:
            return f"cannot be read: {explain(error)}"
