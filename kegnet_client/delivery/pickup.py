"""From turns to records that are ready to be sent: what is whole and parses; the rest waits, sticks or is rejected.

A name is under way at most once. Whoever's turn comes again meanwhile (a producer used the name once more) has it
after that.
"""

import logging
import math
from collections.abc import Iterable

from kegnet_client.core.delivery_queue import Lanes, Turn
from kegnet_client.core.errors import RecordError
from kegnet_client.core.records import time_ms
from kegnet_client.core.retry_policy import Link
from kegnet_client.delivery.outcome import Parcel, Settlement
from kegnet_client.host.clock import STEP_S, Clock
from kegnet_client.spool.directory import SETTLED_AFTER_S, Spool, SpoolFile, StuckFileError
from kegnet_client.spool.watch import Watcher

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How long at a time records are looked for: each bad one takes a few syncs of the disk to be put aside."""


class Intake:
    """Takes turns from ``lanes``; everything is used under one lock."""

    def __init__(
        self,
        spool: Spool,
        lanes: Lanes,
        link: Link,
        watcher: Watcher,
        settlement: Settlement,
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._lanes = lanes
        self._link = link
        self._watcher = watcher
        self._settlement = settlement
        self._clock = clock
        self._under_way: dict[str, Turn | None] = {}
        """The names, each with the turn that came meanwhile."""

    def __len__(self) -> int:
        return len(self._under_way)

    def names(self) -> set[str]:
        """What is under way."""
        return set(self._under_way)

    def take(self, limit: int) -> list[Parcel]:
        """Up to ``limit`` records to send in one request, oldest first; fewer, or none, when `LOOK_S` is over among
        files that bring none.

        One that stands aside goes alone, and suspects go among themselves: others shall not suffer for them.
        """
        parcels: list[Parcel] = []
        among_suspects = False
        now_s = self._clock.monotonic_s()
        while len(parcels) < limit and (turn := self._lanes.take(now_s)):
            alone = self._link.stands_aside(turn.name)
            is_suspect = turn.name in self._settlement.suspects
            if parcels and (alone or is_suspect is not among_suspects):
                self._lanes.put_back([turn])
                break
            parcel = self._open(turn)
            if parcel is None:
                if self._clock.monotonic_s() >= now_s + LOOK_S:
                    break
                continue
            among_suspects = is_suspect
            parcels.append(parcel)
            self._under_way[turn.name] = None
            if alone:
                break
        return sorted(parcels, key=lambda parcel: time_ms(parcel.record)) if len(parcels) > 1 else parcels

    def done(self, parcels: Iterable[Parcel]) -> None:
        """They are not under way any more."""
        waited = [self._under_way.pop(parcel.turn.name) for parcel in parcels]
        self._lanes.put_back(turn for turn in waited if turn)

    def look_at_clock(self) -> None:
        """See whether the wall clock was set, which may be all that was in the way."""
        if self._clock.steps.feed(self._clock.monotonic_s(), self._clock.wall_ms()):
            log.info("this machine's clock was set; trying again at once")
            self._settlement.retry_now()

    def _open(self, turn: Turn) -> Parcel | None:
        """What ``turn`` brings to be sent now, if anything."""
        if turn.name in self._under_way:
            self._under_way[turn.name] = turn
            return None
        try:
            file = self._spool.read(turn.name)
        except FileNotFoundError:
            self._link.forget(turn.name)
            self._settlement.suspects.discard(turn.name)
            return None
        except StuckFileError as error:
            self._settlement.stick(turn.name, str(error))
            return None
        self._settlement.unstick(turn.name)
        if self._settlement.is_decided(file):
            return None
        unsettled_for_s = 0.0 if self._is_finished(file, turn) else self._unsettled_for_s(file)
        if unsettled_for_s:
            # What was announced was an empty file; what is written into it is announced anew, or has to settle.
            self._lanes.hold(Turn(turn.name, announced=False), self._clock.monotonic_s() + unsettled_for_s)
            return None
        try:
            return Parcel(turn, file, file.record())
        except RecordError as error:
            self._settlement.reject(file, str(error))
            return None

    def _is_finished(self, file: SpoolFile, turn: Turn) -> bool:
        """Whether the producer has visibly finished; an empty file is more likely about to be written."""
        is_closed = turn.announced and not self._watcher.is_being_written(turn.name)
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
