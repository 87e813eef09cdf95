"""The files of an open SQLite database, and whether they are still what SQLite left there.

SQLite opens a database in WAL mode once. It does not notice when its file or its log is overwritten or cut in place:
it goes on writing pages that belong to the content that was there before, and the mixture is unusable. So the files are
compared with what they have to be, at each transaction's beginning and again before it is acknowledged:

- The database's file changes by a checkpoint and by nothing else. Its size, its time and its header (100 bytes, with
  the change counter) stay the same as long as the index of the log tells of no checkpoint.
- The log holds the salt and the checksum that the index names, in its header and in its last frame.

That is some fifteen system calls, which read three pages at most. The formats: https://sqlite.org/walformat.html

Limits: a file overwritten with one of the same size, time and header is not found, nor one that is overwritten during a
checkpoint, nor anything on a file system where SQLite keeps no log.

The descriptors here stay open for as long as SQLite has its own: a process that closes any descriptor of a file loses
all its locks on that file.
"""

import fcntl
import os
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_VERSION = 3007000
_INDEX = struct.Struct("=I8xBBHI4xII8s8x")
_INDEX_BYTES = 136
_CHECKPOINT = slice(96, 100), slice(128, 132)
"""How many frames are in the database's file, and how many a checkpoint has begun to write there."""
_CHECKPOINT_LOCK = 121
"""The byte of the index whose lock whoever makes a checkpoint holds, from before it begins to after it is done."""
_LOCK = struct.Struct("hhqqi")
"""struct flock of fcntl(2): kind, whence, start, length, process."""
_HEADER_BYTES = 100
_LOG_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_LOOKS = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """What somebody did to the files; ``is_other`` if the database's file is another one's content for certain."""

    text: str
    is_other: bool = False


@dataclass(frozen=True, slots=True)
class _Main:
    """The database's file, as far as it is looked at."""

    size: int
    changed_ns: int
    header: bytes


@dataclass(frozen=True, slots=True)
class _Index:
    """What the processes that use the database tell one another about its log, which gets a new ``salt`` each time
    that it begins anew. ``begun`` is how many frames a checkpoint has begun to write, ``done`` those that it wrote."""

    header: bytes
    page_bytes: int
    last_frame: int
    checksum: bytes
    salt: bytes
    done: int
    begun: int


@dataclass(frozen=True, slots=True)
class _State:
    """The files at one moment, with the log's last frame. ``is_being_written`` if somebody was at a checkpoint: the
    index does not tell, because SQLite names one there as begun after a crash, too."""

    main: _Main
    index: _Index
    frame: bytes
    is_being_written: bool


class SqliteFiles:
    """The database's file at ``path``, its log, and the index of that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = Path(f"{path}-wal")
        self._index = Path(f"{path}-shm")
        self._descriptors: dict[Path, int] = {}
        self._seen: _State | None = None
        self._had_log = False
        self.is_written_here = False
        """Whether this process is at a checkpoint, in another thread."""

    def open(self) -> None:
        """Open the database's file, before SQLite does; a new one belongs to this user alone."""
        self._descriptors[self.path] = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Close them, after SQLite did."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def is_there(self) -> bool:
        """Whether the path leads to the file that was opened, if one was."""
        return self.path not in self._descriptors or self._leads_to_ours(self.path)

    def lacks_log(self) -> bool:
        """Whether the log or its index was removed."""
        is_there = self.log.exists() and self._index.exists()
        self._had_log |= is_there  # some file systems allow none
        return self._had_log and not is_there

    def forget(self) -> None:
        """Begin anew: SQLite has closed the log, and may have written the database's file."""
        self._seen = None
        self._had_log = False

    def find_fault(self, *, others_wrote: bool) -> Fault | None:
        """What somebody did to the files since the last look; ``others_wrote`` if another process may have used the
        database meanwhile."""
        if self.path not in self._descriptors or not self._had_log:
            return None
        for path in (self.log, self._index):
            if path in self._descriptors and path.exists() and not self._leads_to_ours(path):
                if self._seen is not None:
                    return Fault(f"{path} was replaced")
                os.close(self._descriptors.pop(path))
        before = self._seen
        state = self._look()
        if state is None:
            return Fault(f"{self.log} or its index was overwritten or cut")
        if before is not None and state.main != before.main and not _had_checkpoint(before, state, others_wrote):
            is_other = (state.main.size, state.main.header) != (before.main.size, before.main.header)
            return Fault(f"{self.path} was overwritten or cut", is_other)
        self._seen = state
        return None

    def begin(self) -> None:
        """Take the files as they are at the start: what somebody does to them from now on is found."""
        if not self.lacks_log() and self._had_log:
            self._seen = self._look()

    def count_unwritten(self) -> int:
        """How many frames of the log a checkpoint would write into the database's file."""
        return 0 if self._seen is None else self._seen.index.last_frame - self._seen.index.done

    def set_log_aside(self) -> Path:
        """Move the log away, so that nobody takes it for that of the file which is there now; where it is."""
        aside = Path(f"{self.log}.{time.time_ns()}")
        self.log.rename(aside)
        return aside

    def _look(self) -> _State | None:
        """The files, as of a moment when no other process wrote them; None if the log is not what its index says."""
        for _ in range(_LOOKS):
            index = self._read_index()
            if index is None:
                continue
            main = self._read_main()
            frame = self._read_log(index)
            is_being_written = self.is_written_here or self._is_being_written()
            # Another process that has stored something meanwhile, or written the database's file, is no fault. Between
            # two equal indexes: else the file of before a checkpoint is taken for what that checkpoint has left.
            if self._read_index() == index:
                return None if frame is None else _State(main, index, frame, is_being_written)
        return None

    def _read_main(self) -> _Main:
        descriptor = self._descriptors[self.path]
        status = os.fstat(descriptor)
        return _Main(status.st_size, status.st_mtime_ns, os.pread(descriptor, _HEADER_BYTES, 0))

    def _read_index(self) -> _Index | None:
        data = os.pread(self._descriptor(self._index), _INDEX_BYTES, 0)
        header = data[: _INDEX.size]
        if len(data) < _INDEX_BYTES or data[_INDEX.size : 2 * _INDEX.size] != header:
            return None  # just being written
        version, is_valid, _, page_bytes, last_frame, *checksum, salt = _INDEX.unpack(header)
        if version != _VERSION or not is_valid:
            return None
        done, begun = (int.from_bytes(data[place], sys.byteorder) for place in _CHECKPOINT)
        # 65,536 does not fit into its field.
        page_bytes = 65536 if page_bytes == 1 else page_bytes
        return _Index(header, page_bytes, last_frame, struct.pack(">II", *checksum), salt, done, begun)

    def _read_log(self, index: _Index) -> bytes | None:
        """The log's last frame; None if the log is not the one of ``index``."""
        if index.last_frame == 0:
            return b""
        descriptor = self._descriptor(self.log)
        frame = _read_frame(descriptor, index)
        is_ours = frame[8:_FRAME_HEADER_BYTES] == index.salt + index.checksum and len(frame) == _frame_bytes(index)
        if not is_ours or os.pread(descriptor, _LOG_HEADER_BYTES, 0)[16:24] != index.salt:
            return None
        before = self._seen
        is_same = before is not None and before.index.salt == index.salt and before.frame
        # A log that was cut and has grown since has a hole where its end was.
        if before is not None and is_same and _read_frame(descriptor, before.index) != before.frame:
            return None
        return frame

    def _is_being_written(self) -> bool:
        """Whether another process holds SQLite's lock for checkpoints; this one's own is not seen."""
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _CHECKPOINT_LOCK, 1, 0)
        kind, *_ = _LOCK.unpack(fcntl.fcntl(self._descriptor(self._index), fcntl.F_GETLK, asked))
        return bool(kind != fcntl.F_UNLCK)

    def _descriptor(self, path: Path) -> int:
        if path not in self._descriptors:
            self._descriptors[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._descriptors[path]

    def _leads_to_ours(self, path: Path) -> bool:
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptors[path]))
        except FileNotFoundError:
            return False


def _had_checkpoint(before: _State, after: _State, others_wrote: bool) -> bool:
    """Whether there was a checkpoint between the two, or at one of them: both may fall into the same."""
    old, new = before.index, after.index
    if before.is_being_written or after.is_being_written:
        return True
    if old.salt == new.salt:
        return (old.done, old.begun) != (new.done, new.begun)
    # A log begins anew when all of it is in the database's file, and of the new one a checkpoint may have written some.
    return old.done < old.last_frame or new.begun > 0 or (others_wrote and old.header != new.header)


def _frame_bytes(index: _Index) -> int:
    return _FRAME_HEADER_BYTES + index.page_bytes


def _read_frame(log: int, index: _Index) -> bytes:
    """The frame that was the last one according to ``index``."""
    size = _frame_bytes(index)
    return os.pread(log, size, _LOG_HEADER_BYTES + (index.last_frame - 1) * size)
