"""From queue entries to records that are ready to be sent: what is whole and parses. The rest waits, stays or is
rejected.

Files are read without the shared lock; what came of it is noted under it.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kegnet_client.core.delivery_queue import QueueEntry
from kegnet_client.core.errors import RecordError
from kegnet_client.core.records import time_ms
from kegnet_client.delivery.state import PendingRecord, Shared
from kegnet_client.host.clock import STEP_S, Clock, Moment
from kegnet_client.spool.directory import SETTLED_AFTER_S, Spool, SpoolFile, StuckFileError, printable
from kegnet_client.spool.removal import SpoolRemoval
from kegnet_client.spool.watch import Watcher

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How long at a time records are looked for: each bad one takes a few syncs of the disk to be put aside."""


@dataclass(frozen=True, slots=True)
class _Gone:
    """Nothing stands under the name, or it stands there only because it cannot be taken out."""


@dataclass(frozen=True, slots=True)
class _Stuck:
    """It cannot be taken, and stays."""

    why: str


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """Somebody may still be writing it."""

    until_s: float


@dataclass(frozen=True, slots=True)
class _Rejected:
    """It was no record."""


_Found = PendingRecord | _Gone | _Stuck | _Unfinished | _Rejected


class Pickup:
    """Reads from ``spool``; to be used by any thread."""

    def __init__(self, spool: Spool, shared: Shared, watcher: Watcher, removal: SpoolRemoval, clock: Clock) -> None:
        self._spool = spool
        self._shared = shared
        self._watcher = watcher
        self._removal = removal
        self._clock = clock

    def take(self, now: Moment) -> list[PendingRecord]:
        """The records for one request, oldest first; none where nothing is queued, or `LOOK_S` is over among files
        that bring none. They are under way until `DeliveryState.done`."""
        while True:
            with self._shared as state:
                entries = state.choose(now.monotonic_s)
                has_stuck = bool(state.progress.stuck)
            found = self._read(entries, now)
            taken = [one for one in found if isinstance(one, PendingRecord)]
            if has_stuck or len(taken) < len(entries):
                self._note(entries, found)
            if taken or not entries or self._clock.monotonic_s() >= now.monotonic_s + LOOK_S:
                break
        return sorted(taken, key=lambda pending: time_ms(pending.record)) if len(taken) > 1 else taken

    def look_at_clock(self, now: Moment) -> None:
        """See whether the wall clock was set, which may be all that was in the way."""
        with self._shared as state:
            was_set = self._clock.steps.feed(now.monotonic_s, now.wall_ms)
            if was_set:
                state.retry_now()
        if was_set:
            log.info("this machine's clock was set; trying again at once")

    def _read(self, entries: Sequence[QueueEntry], now: Moment) -> list[_Found]:
        """What the files of ``entries`` are, of the first of them where that takes too long."""
        found: list[_Found] = []
        for entry in entries:
            found.append(self._look(entry, now))
            if isinstance(found[-1], _Rejected) and self._clock.monotonic_s() >= now.monotonic_s + LOOK_S:
                break
        return found

    def _look(self, entry: QueueEntry, now: Moment) -> _Found:
        try:
            file = self._spool.read(entry.name)
            if self._removal.is_decided(file):
                return _Gone()
            if not self._is_finished(file, entry):
                file, changed_ns = self._spool.read_with_time(entry.name)
                if left_s := self._unsettled_for_s(changed_ns):
                    return _Unfinished(now.monotonic_s + left_s)
        except FileNotFoundError:
            return _Gone()
        except StuckFileError as error:
            return _Stuck(str(error))
        try:
            return PendingRecord(entry, file, file.record())
        except RecordError as error:
            return _Rejected() if self._removal.reject(file, str(error)) else _Gone()

    def _note(self, entries: Sequence[QueueEntry], found: Sequence[_Found]) -> None:
        """Records stay under way; all others in ``found`` do not, nor what there was no time to look at."""
        stuck: dict[str, str] = {}
        with self._shared as state:
            for entry, one in zip(entries, found, strict=False):
                match one:
                    case _Stuck(why):
                        stuck[entry.name] = why
                    case _Gone():
                        state.forget(entry.name)
                    case _Unfinished(until_s):
                        # Announced was an empty file; what is written into it is announced anew, or has to settle.
                        state.queue.hold(QueueEntry(entry.name, announced=False), until_s)
                    case _Rejected():
                        state.progress.rejected += 1
                if not isinstance(one, _Stuck):
                    state.progress.stuck.pop(entry.name, None)
                if not isinstance(one, PendingRecord):
                    state.done([entry.name])
            left = entries[len(found) :]
            state.done([entry.name for entry in left])
            state.queue.put_back(left)
            stuck = state.stick(stuck)
        log_stuck(stuck)

    def _is_finished(self, file: SpoolFile, entry: QueueEntry) -> bool:
        """Whether the producer has visibly finished; an empty file is more likely about to be written."""
        is_closed = entry.announced and not self._watcher.is_being_written(entry.name)
        return file.size > 0 and (is_closed or file.data.endswith(b"\n"))

    def _unsettled_for_s(self, changed_ns: int) -> float:
        """How long a file that was changed at ``changed_ns`` has to stay as it is to count as whole; 0 when it has been
        long enough.

        Its age comes from the wall clock, which is to be trusted only when it was not set meanwhile. A clock that
        was set back by less than that shows, or that is coarser than the file's time, makes it a little negative.
        """
        now = self._clock.now()  # after the file's last change
        self.look_at_clock(now)
        age_s = now.wall_ms / 1000 - changed_ns / 1e9
        unchanged_s = age_s if -STEP_S <= age_s < SETTLED_AFTER_S else math.inf
        stable_s = self._clock.steps.stable_for_s(now.monotonic_s)
        return max(0.0, SETTLED_AFTER_S - min(unchanged_s, stable_s))


def log_stuck(stuck: Mapping[str, str]) -> None:
    """Say that what stands under these names cannot be taken, and why."""
    for name, why in stuck.items():
        log.warning("%s stays where it is: %s", printable(name), why)
