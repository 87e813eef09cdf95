"""From turns to records that are ready to be sent: what is whole and parses; the rest waits, sticks or is rejected.

A name is under way at most once. Whoever's turn comes again meanwhile (a producer used the name once more) has it
after that.
"""

import logging
import math
from collections.abc import Iterable

from kegnet_client.core.delivery_queue import DeliveryQueue, QueueEntry
from kegnet_client.core.errors import RecordError
from kegnet_client.core.records import time_ms
from kegnet_client.core.retry_policy import RetryPolicy
from kegnet_client.delivery.outcome import Outcome, PendingRecord
from kegnet_client.host.clock import STEP_S, Clock
from kegnet_client.spool.directory import SETTLED_AFTER_S, Spool, SpoolFile, StuckFileError
from kegnet_client.spool.watch import Watcher

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How long at a time records are looked for: each bad one takes a few syncs of the disk to be put aside."""


class Pickup:
    """Takes turns from ``lanes``; everything is used under one lock."""

    def __init__(
        self,
        spool: Spool,
        queue: DeliveryQueue,
        policy: RetryPolicy,
        watcher: Watcher,
        outcome: Outcome,
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._queue = queue
        self._policy = policy
        self._watcher = watcher
        self._outcome = outcome
        self._clock = clock
        self._under_way: dict[str, QueueEntry | None] = {}
        """The names, each with the turn that came meanwhile."""

    def __len__(self) -> int:
        return len(self._under_way)

    def names(self) -> set[str]:
        """What is under way."""
        return set(self._under_way)

    def take(self, limit: int) -> list[PendingRecord]:
        """Up to ``limit`` records to send in one request, oldest first; fewer, or none, when `LOOK_S` is over among
        files that bring none.

        One that stands aside goes alone, and suspects go among themselves: others shall not suffer for them.
        """
        taken: list[PendingRecord] = []
        among_suspects = False
        now_s = self._clock.monotonic_s()
        while len(taken) < limit and (entry := self._queue.take(now_s)):
            alone = self._policy.stands_aside(entry.name)
            is_suspect = entry.name in self._outcome.suspects
            if taken and (alone or is_suspect is not among_suspects):
                self._queue.put_back([entry])
                break
            pending = self._open(entry)
            if pending is None:
                if self._clock.monotonic_s() >= now_s + LOOK_S:
                    break
                continue
            among_suspects = is_suspect
            taken.append(pending)
            self._under_way[entry.name] = None
            if alone:
                break
        return sorted(taken, key=lambda pending: time_ms(pending.record)) if len(taken) > 1 else taken

    def done(self, taken: Iterable[PendingRecord]) -> None:
        """They are not under way any more."""
        waited = [self._under_way.pop(pending.entry.name) for pending in taken]
        self._queue.put_back(entry for entry in waited if entry)

    def look_at_clock(self) -> None:
        """See whether the wall clock was set, which may be all that was in the way."""
        if self._clock.steps.feed(self._clock.monotonic_s(), self._clock.wall_ms()):
            log.info("this machine's clock was set; trying again at once")
            self._outcome.retry_now()

    def _open(self, entry: QueueEntry) -> PendingRecord | None:
        """What ``turn`` brings to be sent now, if anything."""
        if entry.name in self._under_way:
            self._under_way[entry.name] = entry
            return None
        try:
            file = self._spool.read(entry.name)
        except FileNotFoundError:
            self._policy.forget(entry.name)
            self._outcome.suspects.discard(entry.name)
            return None
        except StuckFileError as error:
            self._outcome.stick(entry.name, str(error))
            return None
        self._outcome.unstick(entry.name)
        if self._outcome.is_decided(file):
            return None
        unsettled_for_s = 0.0 if self._is_finished(file, entry) else self._unsettled_for_s(file)
        if unsettled_for_s:
            # What was announced was an empty file; what is written into it is announced anew, or has to settle.
            self._queue.hold(QueueEntry(entry.name, announced=False), self._clock.monotonic_s() + unsettled_for_s)
            return None
        try:
            return PendingRecord(entry, file, file.record())
        except RecordError as error:
            self._outcome.reject(file, str(error))
            return None

    def _is_finished(self, file: SpoolFile, entry: QueueEntry) -> bool:
        """Whether the producer has visibly finished; an empty file is more likely about to be written."""
        is_closed = entry.announced and not self._watcher.is_being_written(entry.name)
        return file.size > 0 and (is_closed or file.data.endswith(b"\n"))

    def _unsettled_for_s(self, file: SpoolFile) -> float:
        """How long ``file`` has to stay as it is to count as whole; 0 when it has been long enough.

        Its age comes from the wall clock, which is to be believed only when it was not set meanwhile. A clock that
        was set back by less than that shows, or that is coarser than the file's time, makes it a little negative.
        """
        self.look_at_clock()
        age_s = self._clock.wall_ms() / 1000 - file.mtime_ns / 1e9
        unchanged_s = age_s if -STEP_S <= age_s < SETTLED_AFTER_S else math.inf
        stable_s = self._clock.steps.stable_for_s(self._clock.monotonic_s())
        return max(0.0, SETTLED_AFTER_S - min(unchanged_s, stable_s))
