"""inotify's word that something changed in the spool, or a timeout; a hint, never the truth.

The directory scan is the truth. A file that is written to after it was completed is not complete any more.
Whatever inotify cannot tell (its queue overflowed, a name that pyinotify cannot decode took the rest of its read
with it, no watch was to be had) ends in "scan", not in a lost record.

pyinotify's own notifier only polls its own descriptor and blocks when nothing is queued; here one poll waits
for it and for `Watcher.wake`, and its reader is called only when there is something to read.
"""

import logging
import math
import os
import select
import threading
from dataclasses import dataclass, field

import pyinotify

from kegnet_client.core.records import is_record_name

_COMPLETED = pyinotify.IN_CLOSE_WRITE | pyinotify.IN_MOVED_TO
_REPLACED = pyinotify.IN_DELETE_SELF | pyinotify.IN_MOVE_SELF | pyinotify.IN_UNMOUNT | pyinotify.IN_IGNORED
_WRITTEN = pyinotify.IN_MODIFY
_LOST = pyinotify.IN_Q_OVERFLOW

# It brings a handler of its own that writes to the terminal; what matters comes back as `Events` or `problem`.
logging.getLogger("pyinotify").handlers.clear()
logging.getLogger("pyinotify").setLevel(logging.CRITICAL)


@dataclass(slots=True)
class Events:
    """What happened since the last look: names that were completed, in order, and whether the directory has
    to be scanned or opened anew."""

    completed: list[str] = field(default_factory=list)
    scan: bool = False
    reopen: bool = False


class Watcher:
    """One thread waits; `wake` may come from any. ``problem`` says why there is no watch, if there is none."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wakeable = True
        self._wake_lock = threading.Lock()
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)
        self._manager: pyinotify.WatchManager | None = None
        self._notifiers: dict[int, pyinotify.Notifier] = {}
        self._events = Events()
        self._being_written: set[str] = set()

    def is_being_written(self, name: str) -> bool:
        """Whether ``name`` was written to since it was last completed, as far as `wait` has seen."""
        return name in self._being_written

    def watch(self, directory_fd: int) -> None:
        """Watch the open directory, instead of the one before; on failure ``problem`` says why."""
        self._unwatch()
        try:
            manager = pyinotify.WatchManager()
        except OSError as error:
            self.problem = f"inotify is not to be had: {error.strerror or error}"
            return
        # Through the descriptor, so that what is watched is what is scanned, wherever it was moved to.
        path = f"/proc/self/fd/{directory_fd}"
        try:
            manager.add_watch(path, _COMPLETED | _WRITTEN | _REPLACED | pyinotify.IN_ONLYDIR, quiet=False)
        except pyinotify.WatchManagerError as error:
            manager.close()
            self.problem = f"no inotify watch is to be had: {error}"
            return
        self._manager = manager
        self._notifiers = {manager.get_fd(): pyinotify.Notifier(manager, self._take)}
        self._poll.register(manager.get_fd(), select.POLLIN)
        self.problem = None

    def wait(self, timeout_s: float) -> Events:
        """What happened, waiting for it up to ``timeout_s``; `wake` ends the wait too."""
        ready = self._poll.poll(math.ceil(timeout_s * 1000))
        for fd, _ in ready:
            if fd == self._wake_fd:
                os.eventfd_read(fd)
            else:
                self._read(self._notifiers[fd])
        events, self._events = self._events, Events()
        return events

    def wake(self) -> None:
        """End the wait that is under way, or the next one; after `close` it does nothing."""
        with self._wake_lock:  # a closed descriptor's number may be another file's by now
            if self._wakeable:
                os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Give back every descriptor."""
        self._unwatch()
        with self._wake_lock:
            self._wakeable = False
            os.close(self._wake_fd)

    def _unwatch(self) -> None:
        if self._manager is not None:
            self._poll.unregister(self._manager.get_fd())
            self._manager.close()
            self._manager = None
            self._notifiers = {}
            self._being_written.clear()

    def _read(self, notifier: pyinotify.Notifier) -> None:
        try:
            notifier.read_events()
        except UnicodeDecodeError:
            # The rest of what was read is lost with it.
            self._lose()
        notifier.process_events()

    def _take(self, event: pyinotify.Event) -> None:
        if event.mask & _LOST:
            self._lose()
        elif event.mask & _REPLACED:
            self._events.reopen = True
        elif event.mask & _WRITTEN:
            if is_record_name(event.name):
                self._being_written.add(event.name)
        elif event.name:
            self._being_written.discard(event.name)
            self._events.completed.append(event.name)

    def _lose(self) -> None:
        self._events.scan = True
        self._being_written.clear()
