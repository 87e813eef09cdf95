"""Counts what is refused from each device, for its alarm and for who looks (`kegnet_client.hub.store.refusals`).

Counting costs a request next to nothing: a number in memory, written every `EVERY_S` seconds, all in one commit.
A crash loses those of a few seconds. Only registered devices are counted, however many are made up.

To be used by the event loop alone.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from kegnet_client.hub.store import refusals
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

EVERY_S = 10.0
_LAST_S = 0.5
"""For the last ones, when the hub ends."""


class RefusedCounts:
    """The counts of this process, kept in ``store``."""

    def __init__(self, store: Store, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._known: frozenset[str] = frozenset()
        self._waiting: Counter[str] = Counter()

    def count(self, device: str, records: int = 1) -> None:
        """So many records were refused that are, or say that they are, from ``device``."""
        device = device.lower()
        if records and device in self._known:
            self._waiting[device] += records

    async def run(self) -> None:
        """Write them, until cancelled."""
        try:
            while True:
                with suppress(StoreError):  # those who store say so
                    self._known = await self._store.look_soon(refusals.read_counted)
                    await self._write()
                await asyncio.sleep(EVERY_S)
        finally:
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_LAST_S):
                    await self._write()

    async def _write(self) -> None:
        taken, self._waiting = self._waiting, Counter()
        if not taken:
            return
        now_ms = self._clock_ms()
        try:
            await self._store.writing.run(
                lambda: self._store.write(lambda connection: refusals.add(connection, taken, now_ms))
            )
        except StoreError:
            self._waiting.update(taken)
            raise
