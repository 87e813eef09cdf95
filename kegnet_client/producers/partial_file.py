"""The file of a pour that is not a record yet: two slots in turn, of which one is always whole.

A slot is one line of JSON with its CRC, filled up to 512 bytes, which a disk writes whole or not at all. The one with
the higher number counts. The file is locked for as long as its producer lives; so what can be locked was left behind.

Security: others may write to the spool's directory, so that a file which is not this user's is not trusted.
"""

import contextlib
import errno
import fcntl
import json
import os
import struct
import zlib
from dataclasses import asdict, dataclass

from kegnet_client.core.errors import SpoolError
from kegnet_client.core.flow import Flow
from kegnet_client.host.atomic_file import owner_in, write_all
from kegnet_client.spool.directory import RECORD_MODE

SLOT_BYTES = 512
MODE = 0o600
BEFORE_BOOT_MS = -1


@dataclass(frozen=True, slots=True)
class Kept:
    """What a meter had counted and no record holds."""

    pin: int
    boot: str
    """Which boot the flows' times count from."""
    offset_ms: int | None
    """What the wall clock was ahead of that one; None while it was not to be trusted."""
    pour: Flow | None
    drips: Flow | None
    total: int | None
    """What a board had told by then."""
    round: str
    """The records that were made of what was kept before; see `pour_journal`."""
    told_ms: int | None = None
    """When the board told that total, by the clock of ``boot``; `BEFORE_BOOT_MS` if it was in a boot before."""

    def told_in(self, boot: str) -> int | None:
        """`told_ms` by the clock of this boot."""
        return self.told_ms if boot == self.boot else BEFORE_BOOT_MS


def format_slot(number: int, kept: Kept) -> bytes:
    """The bytes of a slot."""
    text = json.dumps({"number": number, **asdict(kept)}, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}".encode().ljust(SLOT_BYTES - 1) + b"\n"


def parse_slots(data: bytes) -> tuple[int, Kept] | None:
    """The number and the content of the newest slot that is whole; None where none is."""
    slots = [_parse(data[start : start + SLOT_BYTES]) for start in (0, SLOT_BYTES)]
    return max((slot for slot in slots if slot is not None), key=lambda slot: slot[0], default=None)


def _parse(slot: bytes) -> tuple[int, Kept] | None:
    crc, _, text = slot.rstrip().partition(b" ")
    if len(slot) != SLOT_BYTES or crc != b"%08x" % zlib.crc32(text):
        return None
    fields = json.loads(text)  # with that CRC it is what was written here
    number = fields.pop("number")
    flows = {name: fields[name] and Flow(**fields[name]) for name in ("pour", "drips")}
    return number, Kept(**{**fields, **flows})


class NotOursError(SpoolError):
    """Another user's file stands under the name; what to do."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is another user's: remove it, or start the producer as that one")


class PartialFile:
    """A partial that this process holds the lock on. Every method may raise `OSError`."""

    def __init__(self, directory_fd: int, name: str, fd: int) -> None:
        self._directory_fd = directory_fd
        self._name = name
        self._fd = fd
        self.kept: Kept | None = None
        """What it holds, if that is whole."""
        self._number = 0
        if (found := parse_slots(os.pread(fd, 2 * SLOT_BYTES, 0))) is not None:
            self._number, self.kept = found

    @classmethod
    def make(cls, directory_fd: int, name: str) -> "PartialFile":
        """One that is not there yet; `FileExistsError` when it is, `NotOursError` when it is another user's."""
        try:
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE, dir_fd=directory_fd)
        except FileExistsError:
            if os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_uid != os.geteuid():
                raise NotOursError(name) from None
            raise
        try:
            if not _lock(fd) or not _stands_at(directory_fd, name, fd):
                raise FileExistsError(errno.EEXIST, f"another process took {name}")
            return cls(directory_fd, name, fd)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def find(cls, directory_fd: int, name: str) -> "PartialFile | None":
        """The one that a producer left behind, or None.

        `SpoolError` when its producer is at work, `NotOursError` when it is another user's.
        """
        try:
            if os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_uid != os.geteuid():
                raise NotOursError(name)
            fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory_fd)
        except FileNotFoundError:
            return None
        if not _lock(fd):
            os.close(fd)
            raise SpoolError(f"another process is at work on {name}: stop that one first")
        if not _stands_at(directory_fd, name, fd):
            os.close(fd)
            return None
        return cls(directory_fd, name, fd)

    def write(self, kept: Kept) -> None:
        """Keep this from now on; when it returns, a power cut does not lose it. It may be tried again."""
        is_first = self._number == 0
        if is_first:
            # At once as long as it will ever be: later writes then change its data alone.
            os.pwrite(self._fd, b" " * 2 * SLOT_BYTES, 0)
        number = self._number + 1
        os.pwrite(self._fd, format_slot(number, kept), number % 2 * SLOT_BYTES)
        os.fdatasync(self._fd)
        if is_first:
            os.fsync(self._directory_fd)
        self._number, self.kept = number, kept

    def remove(self) -> None:
        """It holds nothing any more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._directory_fd)
        self.close()

    def close(self) -> None:
        """Give up the lock, and leave it for the next start."""
        os.close(self._fd)


def write_hidden(directory_fd: int, name: str, data: bytes) -> None:
    """Write the file ``name`` and sync it, but not its name."""
    # Not to wait at a pipe that a member of the group put there.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, RECORD_MODE, dir_fd=directory_fd)
    try:
        if (owner := owner_in(directory_fd)) is not None:
            os.fchown(fd, *owner)
        os.fchmod(fd, RECORD_MODE)
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    """Whether the lock is ours now; it is the open file's, and ends with it."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("@hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except BlockingIOError:
        return False
    return True


def _stands_at(directory_fd: int, name: str, fd: int) -> bool:
    """Whether the open file is the one that has the name: it may have been removed before we had the lock."""
    try:
        return os.path.samestat(os.stat(name, dir_fd=directory_fd, follow_symlinks=False), os.fstat(fd))
    except FileNotFoundError:
        return False
