"""What the threads of one delivery share, and the lock that it is under.

`Shared` is the only way to the state: what stands in a ``with shared as state:`` is done under the lock, all else is
not. Nothing in `DeliveryState` reads a file, writes one, logs or waits, so that nobody holds the lock for long.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from kegnet_client.core.concurrency import AdaptiveConcurrency
from kegnet_client.core.delivery_queue import DeliveryQueue, QueueEntry
from kegnet_client.core.records import Record
from kegnet_client.core.retry_policy import RetryPolicy
from kegnet_client.delivery.progress import Progress
from kegnet_client.sinks.base import Sink
from kegnet_client.spool.directory import SpoolFile

MAX_ANNOUNCED = 4096
"""How many announced names are kept."""


class PendingRecord(NamedTuple):
    """A record ready to be sent, the file that it is in, and the queue entry that it came by."""

    entry: QueueEntry
    file: SpoolFile
    record: Record


class DeliveryState:
    """The queue, the records under way, and how the sink is doing. A name is under way at most once.

    With ``each_once`` what was tried and stays is not tried again.
    """

    def __init__(
        self, sink: Sink, random: Callable[[], float], busy_s: Callable[[], float], progress: Progress
    ) -> None:
        self.queue = DeliveryQueue(MAX_ANNOUNCED)
        self.policy = RetryPolicy(random, sink.advice)
        self.concurrency = AdaptiveConcurrency(sink.max_connections, busy_s)
        self.progress = progress
        self.each_once = False
        self.batch_size = sink.max_records
        """How many records the next request may carry: fewer after a request that failed for their number or for
        one of them, and more again with every good answer."""
        self.heartbeat_refused = False
        """Whether the sink takes no heartbeats, which is said once."""
        self.misconfiguration_said: int | str | None = None
        """What was last said to need fixing: the answer's code, or what is wrong with the certificate."""
        self.nothing_waited = False
        """Whether no record waited when the state of the sink was last said."""
        self.suspects: set[str] = set()
        """The names in such a request, until each is done with or has failed alone."""
        self._max_records = sink.max_records
        self._under_way: dict[str, QueueEntry | None] = {}
        """The names, each with the entry that came meanwhile: a producer used the name once more."""

    @property
    def waiting(self) -> int:
        """How many records are queued or under way."""
        return len(self.queue) + len(self._under_way)

    def known(self) -> set[str]:
        """The names that a scan need not bring: under way, or held until a time."""
        return self.queue.held() | self._under_way.keys()

    def choose(self, now_s: float) -> list[QueueEntry]:
        """The entries for one request, which are under way from here on; none while the sink is not to be tried.

        A record that stands aside goes alone, and a suspect record is never batched with healthy ones.
        """
        chosen: list[QueueEntry] = []
        among_suspects = False
        if not self.policy.ready(now_s):
            return chosen
        while len(chosen) < self.batch_size and (entry := self.queue.take(now_s)):
            name = entry.name
            if name in self._under_way:
                self._under_way[name] = entry
                continue
            alone = self.policy.stands_aside(name)
            is_suspect = name in self.suspects
            if chosen and (alone or is_suspect is not among_suspects):
                self.queue.put_back([entry])
                break
            among_suspects = is_suspect
            chosen.append(entry)
            self._under_way[name] = None
            if alone:
                break
        return chosen

    def done(self, names: Iterable[str]) -> None:
        """These are not under way any more."""
        came_meanwhile = [entry for name in names if (entry := self._under_way.pop(name))]
        if came_meanwhile:
            self.queue.put_back(came_meanwhile)

    def retry_now(self) -> None:
        """Something changed that may have been all that was in the way: the next failure is said even if it is the
        same."""
        self.policy.retry_now()
        self.misconfiguration_said = None

    def forget(self, name: str) -> None:
        """The record ``name`` is gone from the spool."""
        self.policy.forget(name)
        self.suspects.discard(name)

    def stick(self, stuck: Mapping[str, str]) -> dict[str, str]:
        """Take note of the names that cannot be taken, with why; those that are new or stay for another reason."""
        new = {name: why for name, why in stuck.items() if self.progress.stuck.get(name) != why}
        self.progress.stuck.update(new)
        return new

    def send_more(self) -> None:
        """A request was answered well."""
        self.batch_size = min(self._max_records, self.batch_size * 2)

    def send_fewer(self, entries: list[QueueEntry]) -> None:
        """Try these again in requests of half their number: one that always fails must not hold up the others."""
        if entries:
            self.batch_size = max(1, min(self.batch_size, len(entries) // 2))
            self.queue.put_back(entries)


class Shared:
    """``with shared as state:`` holds the lock and gives the state."""

    def __init__(self, state: DeliveryState) -> None:
        self._state = state
        self._lock = threading.Lock()

    def __enter__(self) -> DeliveryState:
        self._lock.acquire()
        return self._state

    def __exit__(self, *_: object) -> None:
        self._lock.release()
