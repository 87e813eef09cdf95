"""The delivery queue: names of spooled records.

Announced records go first, then records held until their retry time, then the backlog in the order in which the scan
found it. A name may stand here twice, or be gone from the spool by the time it is taken; that costs a look.
"""

import heapq
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple


class QueueEntry(NamedTuple):
    """A queued record. ``announced`` says that its producer was seen to finish it."""

    name: str
    announced: bool


class DeliveryQueue:
    """At most ``limit`` announced names are kept; all times are seconds on one monotonic clock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._fresh: deque[QueueEntry] = deque()
        self._backlog: deque[str] = deque()  # bare names, because they may be many
        self._held: list[tuple[float, QueueEntry]] = []

    def __len__(self) -> int:
        return len(self._fresh) + len(self._held) + len(self._backlog)

    @property
    def has_backlog(self) -> bool:
        """Whether records wait behind the announced ones."""
        return bool(self._backlog)

    def announce(self, name: str) -> bool:
        """Queue a name that just arrived; False when there is no room, so that a scan has to find it later."""
        if len(self._fresh) >= self._limit:
            return False
        self._fresh.append(QueueEntry(name, announced=True))
        return True

    def refill(self, names: Iterable[str]) -> None:
        """Queue what a scan found, oldest first, behind the backlog that waits already."""
        self._backlog.extend(names)

    def take(self, now_s: float) -> QueueEntry | None:
        """The next entry; None when there is none whose time has come."""
        if self._fresh:
            return self._fresh.popleft()
        if self._held and self._held[0][0] <= now_s:
            return heapq.heappop(self._held)[1]
        return QueueEntry(self._backlog.popleft(), announced=False) if self._backlog else None

    def put_back(self, entries: Iterable[QueueEntry]) -> None:
        """Queue these again where they were, in the order in which they were taken."""
        for entry in reversed(list(entries)):
            if entry.announced:
                self._fresh.appendleft(entry)
            else:
                self._backlog.appendleft(entry.name)

    def queue_last(self, entry: QueueEntry) -> None:
        """Queue this behind all others; by then its producer is long done, or the file has to show it."""
        self._backlog.append(entry.name)

    def hold(self, entry: QueueEntry, until_s: float) -> None:
        """Keep this back until ``until_s``."""
        heapq.heappush(self._held, (until_s, entry))

    def doubt(self) -> None:
        """Forget which files were seen to be finished: events were lost."""
        self._fresh = deque(QueueEntry(entry.name, announced=False) for entry in self._fresh)
        self._held = [(until_s, QueueEntry(entry.name, announced=False)) for until_s, entry in self._held]

    def due_s(self) -> float | None:
        """When the next entry is due: 0 for at once, None when the queue is empty."""
        if self._fresh or self._backlog:
            return 0.0
        return self._held[0][0] if self._held else None

    def held(self) -> set[str]:
        """The names that are kept back until a time."""
        return {entry.name for _, entry in self._held}

    def clear(self) -> None:
        """Drop every entry: the spool is another one now."""
        self._fresh.clear()
        self._backlog.clear()
        self._held.clear()
