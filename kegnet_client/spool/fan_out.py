"""One spool, several sinks: each record that stands whole in the spool goes into a queue of each sink, or of none.

With one sink the spool itself is the queue, and nothing here is used. With several, `FanOut.take` carries records over,
up to `MAX_AT_ONCE` of them, in five steps, each synced before the next:

1. hidden copies ``.queue/SINK/.ID`` for each sink, with the time of the spool's file; all of a record are one file;
2. a mark ``.queue/.taken/MARK``, which lists the records and the sinks: these get them, whatever the configuration says
   later;
3. the spool's files go, each if it is still the one that was read;
4. each ``.ID`` is renamed to ``ID``, and is in its sink's queue then;
5. the mark goes.

Whatever ends that on the way, `FanOut.recover` goes on with it: it finishes what is marked, and removes hidden copies
of what is not. It renames only copies that exist and never writes one, because a copy that is gone was delivered. So
no record is lost, and none gets into a queue twice. Where step 3 cannot be done for a record, the others wait for it
with that record alone.

``ID`` is a hash of content and name, and the name; so one that is taken anew after a fault is the same, and another one
under a name that is used again is not.

A backlog takes the disk a sync a record, and seven more, with two sinks, for as many as are taken at once.

Security: ``.queue`` is the delivering process's alone (mode 0700).
"""

import hashlib
import json
import logging
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kegnet_client.core.errors import SpoolError
from kegnet_client.core.records import is_record_name
from kegnet_client.host.atomic_file import owner_in, write_all, write_file
from kegnet_client.host.regular_file import read_regular
from kegnet_client.spool.directory import Spool, SpoolFile, StuckFileError, explain, printable
from kegnet_client.spool.own_directory import make_own, open_own
from kegnet_client.spool.rejected import count_rejected, fit_name

log = logging.getLogger(__name__)

QUEUES = ".queue"
TAKEN = ".taken"
DIRECTORY_MODE = 0o700
COPY_MODE = 0o600
MAX_AT_ONCE = 32
"""A sync may take 50 ms on a bad card: what comes now waits for no more than some seconds of them."""
_MAX_MARK_BYTES = 256 * 1024
"""Names of 255 bytes, each of which takes six in JSON, twice a record."""
_SINK = re.compile(r"[a-z][a-z0-9_-]*")

_at_work = threading.Lock()
"""Held by whoever takes or recovers: what a reload left behind may be in the middle of the five steps."""


@dataclass(frozen=True, slots=True)
class Queue:
    """How a sink's queue stands."""

    waiting: int
    rejected: int


def queue_path(spool: Path, sink: str) -> Path:
    """The directory that is the queue of ``sink`` in ``spool``."""
    return spool / QUEUES / sink


def find_queues(spool: Path) -> dict[str, Queue]:
    """The queues in the spool at ``spool``, by sink; raises `SpoolError` when they cannot be read."""
    try:
        found = (spool / QUEUES).iterdir()
        names = sorted(path.name for path in found if _SINK.fullmatch(path.name) and path.is_dir())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SpoolError(f"{spool / QUEUES}: {explain(error)}") from error
    return {name: _look(queue_path(spool, name)) for name in names}


def _look(queue: Path) -> Queue:
    try:
        # Hidden copies that are marked wait, too, though nobody delivers them before the next start.
        names = [path.name.removeprefix(".") for path in queue.iterdir()]
    except OSError as error:
        raise SpoolError(f"{queue}: {explain(error)}") from error
    return Queue(sum(is_record_name(name) for name in names), count_rejected(queue))


class FanOut:
    """From ``spool`` to the queues of ``sinks``, which are made if they are missing. Raises `SpoolError`."""

    def __init__(self, spool: Spool, sinks: Sequence[str]) -> None:
        self._spool = spool
        self._sinks = tuple(sinks)
        self._is_recovered = False
        try:
            self.make_queues()
        except OSError as error:
            raise SpoolError(f"{spool.path / QUEUES}: {explain(error)}") from error

    def make_queues(self) -> None:
        """Make what is missing of them. Raises `OSError`, also while the spool itself is gone."""
        with self._open(self._sinks):
            pass

    def take(self, files: Sequence[SpoolFile]) -> list[bool | OSError]:
        """Carry the records in ``files``, at most `MAX_AT_ONCE`, over to the queues.

        Of each: False when it is gone or replaced by a newer one; an error when it cannot be done now: tried again,
        it goes on where it stood.
        """
        try:
            with _at_work, self._open(self._sinks) as at:
                self._recover_once(at)
                return self._take(at, files)
        except OSError as error:
            return [error] * len(files)

    def recover(self) -> None:
        """Go on with what a process that is over left between two steps; where it cannot be done now, `take` does."""
        try:
            with _at_work, self._open(self._sinks) as at:
                self._recover_once(at)
        except OSError as error:
            log.warning("%s: %s; what was on its way into it waits", self._spool.path / QUEUES, explain(error))

    def has_waiting(self, sink: str) -> bool:
        """Whether anything is in the queue of ``sink``, or on the way there, or may be."""
        try:
            with self._open([sink]) as at:
                return bool(_names(at.taken)) or any(is_record_name(name) for name in _names(at.queues[sink]))
        except OSError:
            return True

    def _take(self, at: "_Directories", files: Sequence[SpoolFile]) -> list[bool | OSError]:
        marks = {name: mark for name in _names(at.taken) if (mark := _read_mark(at, name)) is not None}
        marked = {copy for mark in marks.values() for copy in mark.records}
        fates: dict[str, bool | OSError] = {}
        copied: dict[str, str] = {}
        copies = {identify(file): file for file in files}
        for copy, file in copies.items():
            if copy in marked:
                continue
            try:
                found = self._read(file)
            except OSError as error:  # one bad file must not hold up the others
                fates[copy] = error
                continue
            if found is None:
                fates[copy] = False
                continue
            _write_copies(at, copy, *found)
            copied[copy] = file.name
        if copied:
            for queue in at.queues.values():
                os.fsync(queue)
            name = secrets.token_hex(8)
            marks[name] = _Mark(copied, self._sinks)
            _write_mark(at, name, marks[name])
        for copy, file in copies.items():
            if copy not in fates:
                fates[copy] = self._remove(file)
        os.fsync(self._spool.fd)
        gone = {copy for copy, fate in fates.items() if fate is True}
        for name, mark in marks.items():
            _finish(at, name, mark, gone)
        return [fates[copy] for copy in map(identify, files)]

    def _remove(self, file: SpoolFile) -> bool | OSError:
        """Step 3; True where something newer stands there, too: this one is in the queues."""
        try:
            self._spool.remove(file)
        except OSError as error:
            return error
        return True

    def _recover_once(self, at: "_Directories") -> None:
        if self._is_recovered:
            return
        marked: set[str] = set()
        is_damaged = False
        for name in _names(at.taken):
            if name.startswith("."):  # half a mark
                os.unlink(name, dir_fd=at.taken)
            elif (mark := _read_mark(at, name)) is None:
                log.error("%s is damaged: what it marks stays where it is", self._spool.path / QUEUES / TAKEN / name)
                is_damaged = True
            else:
                gone = {copy for copy, file_name in mark.records.items() if self._remove_marked(copy, file_name)}
                os.fsync(self._spool.fd)  # also what a process that is over removed
                _finish(at, name, mark, gone)
                marked |= mark.records.keys() - gone
        for sink in () if is_damaged else _sinks_in(at.root):
            with open_own(at.root, sink) as queue:
                for copy in _names(queue):
                    if copy.startswith(".") and copy[1:] not in marked:
                        os.unlink(copy, dir_fd=queue)
        self._is_recovered = True

    def _remove_marked(self, copy: str, file_name: str) -> bool:
        """Step 3 of a record that was taken before; where it cannot be done, `take` comes back to it."""
        try:
            file = self._spool.read(file_name)
            if identify(file) == copy:
                self._spool.remove(file)
        except FileNotFoundError:
            pass
        except StuckFileError as error:
            return error.__cause__ is None  # else it may be that file
        except OSError as error:
            log.warning("%s waits until it can be removed: %s", printable(file_name), explain(error))
            return False
        return True

    def _read(self, file: SpoolFile) -> tuple[bytes, int] | None:
        """The bytes of ``file`` and when it was changed last, if it stands there as it was."""
        try:
            found, changed_ns = self._spool.read_with_time(file.name)
        except FileNotFoundError:
            return None
        except StuckFileError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            return None
        return (found.data, changed_ns) if found.condensed() == file.condensed() else None

    @contextmanager
    def _open(self, sinks: Iterable[str]) -> Iterator["_Directories"]:
        """The directories, anew each time: the spool may be another one by now."""
        make_own(self._spool.fd, QUEUES, DIRECTORY_MODE)
        with ExitStack() as stack:
            root = stack.enter_context(open_own(self._spool.fd, QUEUES))
            fds = {}
            for name in (TAKEN, *sinks):
                make_own(root, name, DIRECTORY_MODE)
                fds[name] = stack.enter_context(open_own(root, name))
            yield _Directories(root, fds.pop(TAKEN), fds)


@dataclass(frozen=True, slots=True)
class _Directories:
    """Descriptors of ``.queue``, ``.queue/.taken`` and each sink's queue."""

    root: int
    taken: int
    queues: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a mark says: the records, each as it is called in the queues and in the spool, and who gets them."""

    records: Mapping[str, str]
    sinks: Sequence[str]


def _read_mark(at: _Directories, name: str) -> _Mark | None:
    """The mark ``name``; None where there is none, or a damaged one."""
    try:
        fields = json.loads(read_regular(name, _MAX_MARK_BYTES, dir_fd=at.taken, follow_link=False))
        records = {os.fspath(copy): os.fspath(file) for copy, file in fields["records"].items()}
        return _Mark(records, [sink for sink in fields["sinks"] if _SINK.fullmatch(sink)])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write_mark(at: _Directories, name: str, mark: _Mark) -> None:
    data = json.dumps({"records": mark.records, "sinks": mark.sinks}).encode("ascii")
    write_file(at.taken, name, data, COPY_MODE, owner_in(at.taken))


def _finish(at: _Directories, name: str, mark: _Mark, gone: Collection[str]) -> None:
    """Steps 4 and 5 of those records of ``mark`` that are ``gone`` from the spool."""
    finished = [copy for copy in mark.records if copy in gone]
    if not finished:
        return
    for sink in mark.sinks:
        with suppress(FileNotFoundError), open_own(at.root, sink) as queue:
            for copy in finished:
                with suppress(FileNotFoundError):  # it was renamed before, and may be delivered
                    os.rename(f".{copy}", copy, src_dir_fd=queue, dst_dir_fd=queue)
            os.fsync(queue)
    if left := {copy: file for copy, file in mark.records.items() if copy not in gone}:
        _write_mark(at, name, _Mark(left, mark.sinks))
    else:
        os.unlink(name, dir_fd=at.taken)


def identify(file: SpoolFile) -> str:
    """The name of ``file`` in the queues, which has room for a dot before it."""
    digest = hashlib.sha256(file.condensed().digest + os.fsencode(file.name)).hexdigest()[:16]
    return fit_name(f"{digest}-{file.name}")


def _write_copies(at: _Directories, copy: str, data: bytes, mtime_ns: int) -> None:
    """Half of it does no harm: they are hidden, and not marked."""
    hidden = f".{copy}"
    first, *others = at.queues.values()
    _write_copy(first, hidden, data, mtime_ns)
    for queue in others:
        with suppress(FileNotFoundError):
            os.unlink(hidden, dir_fd=queue)
        try:
            os.link(hidden, hidden, src_dir_fd=first, dst_dir_fd=queue, follow_symlinks=False)
        except OSError:  # a file system without links
            _write_copy(queue, hidden, data, mtime_ns)


def _write_copy(queue: int, name: str, data: bytes, mtime_ns: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=queue)  # never into a file that another queue may have, too
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, COPY_MODE, dir_fd=queue)
    try:
        if (owner := owner_in(queue)) is not None:
            os.fchown(fd, *owner)
        write_all(fd, data)
        os.utime(fd, ns=(mtime_ns, mtime_ns))
        os.fsync(fd)
    finally:
        os.close(fd)


def _names(fd: int) -> list[str]:
    with os.scandir(fd) as entries:
        return [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]


def _sinks_in(fd: int) -> list[str]:
    with os.scandir(fd) as entries:
        return [entry.name for entry in entries if _SINK.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)]
