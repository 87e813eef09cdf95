"""Judges what is wrong, after each commit and once a minute, and raises and clears alarms.

Judging is a pure function of what is known and of the time (`kegnet_client.hub.domain.rules`), so that every hub
process may do it: what happens to an alarm is decided under a lock, and happens once.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.bus import Bus, CutOffError
from kegnet_client.hub.domain.alarms import PUBLISHED, Alarm, Key, Moment, follow
from kegnet_client.hub.domain.rules import Finding, judge
from kegnet_client.hub.store import alarms
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store
from kegnet_client.hub.store.state import read_state

EVERY_S = 60.0
PAUSE_S = 2.0
"""Between one judgement and the next, however much arrives."""
CHANNELS = ("pours", "temperatures", "kegs", "adjustments", "calibrations", "taps", "rules", "runs", "profiles")

_log = logging.getLogger(__name__)


class Judge:
    """Judges ``store`` by the clock ``clock_ms``, on what ``bus`` says is new."""

    def __init__(self, store: Store, bus: Bus, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._bus = bus
        self._clock_ms = clock_ms
        self._since_ms = clock_ms()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._bus.subscribe(CHANNELS) as subscription:
                    while True:
                        with suppress(StoreError):  # those who store say so
                            await run_in_threadpool(self.judge)
                        await asyncio.sleep(PAUSE_S)
                        with suppress(TimeoutError):
                            async with asyncio.timeout(EVERY_S):
                                await subscription.get()
                        subscription.drop_waiting()
            except (CutOffError, StoreError):
                await asyncio.sleep(EVERY_S)

    def judge(self) -> list[Moment]:
        """Judge once; what happened to alarms."""
        now_ms = self._clock_ms()
        findings = judge(self._store.read(lambda connection: read_state(connection, self._since_ms, now_ms)), now_ms)
        standing = self._store.read(alarms.read_standing)
        if not _decide({key: alarm for key, (_, alarm) in standing.items()}, findings, now_ms):
            return []

        def work(connection: Connection) -> list[Moment]:
            return alarms.happen(connection, now_ms, lambda standing: _decide(standing, findings, now_ms))

        moments = self._store.write(work)
        for moment in moments:
            _log.warning("alarm %s: %s (%s)", moment.what.value, moment.text, moment.key[0])
        return moments


def _decide(standing: Mapping[Key, Alarm], findings: Sequence[Finding], now_ms: int) -> list[Moment]:
    judged = {key: alarm for key, alarm in standing.items() if key[0] != PUBLISHED}
    return follow(judged, findings, now_ms)
