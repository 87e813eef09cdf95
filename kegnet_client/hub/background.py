"""What the hub does while nobody asks: hears of other commits, judges what is wrong, tells others, forgets."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.bus import Bus
from kegnet_client.hub.judge import Judge
from kegnet_client.hub.outlets.open import Outlet
from kegnet_client.hub.refused_counts import RefusedCounts
from kegnet_client.hub.store import events
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.lead import lead
from kegnet_client.hub.store.notify import Notifier
from kegnet_client.hub.store.records import Store

DAY_MS = 86_400_000
TRIM_S = 600.0
RETRY_S = 60.0

Work = Callable[[], Coroutine[Any, Any, None]]
"""Goes on until it is cancelled."""

_log = logging.getLogger(__name__)


class Background:
    """The work beside the requests, over ``store``; events are kept for ``kept_days``."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock_ms: Callable[[], int],
        kept_days: int,
        outlets: Sequence[Outlet],
        refused: RefusedCounts | None = None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._clock_ms = clock_ms
        self._kept_days = kept_days
        self._outlets = outlets
        self._refused = refused or RefusedCounts(store, clock_ms)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While this lasts, it is done."""
        notifier = None if self._store.is_sqlite else Notifier(self._store.url, self._bus.wake)

        def on_write() -> None:
            self._bus.wake()
            if notifier is not None:
                notifier.tell()

        self._store.on_write = on_write
        if notifier is not None:
            notifier.start()
        works: list[Work] = [
            self._bus.run,
            self._trim,
            self._refused.run,
            Judge(self._store, self._bus, self._clock_ms).run,
        ]
        if self._outlets:
            works.append(lambda: lead(self._store, self._tell))
        tasks = [asyncio.create_task(_go_on(work)) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            if notifier is not None:
                await run_in_threadpool(notifier.stop)

    async def _tell(self) -> None:
        async with asyncio.TaskGroup() as group:
            for outlet in self._outlets:
                group.create_task(outlet.run(self._store, self._bus, self._clock_ms))

    async def _trim(self) -> None:
        while True:
            with suppress(StoreError):  # those who store say so
                # Nobody is kept from writing for nothing.
                while await run_in_threadpool(self._store.look, self._has_old):
                    await run_in_threadpool(self._store.write, self._trim_some)
            await asyncio.sleep(TRIM_S)

    def _has_old(self, connection: Connection) -> bool:
        return events.has_before(connection, self._clock_ms() - self._kept_days * DAY_MS)

    def _trim_some(self, connection: Connection) -> int:
        return events.trim(connection, self._clock_ms() - self._kept_days * DAY_MS)


async def _go_on(work: Work) -> None:
    """Do ``work``; after a fault in it, which is told, do it again: without alarms devices are to be heard still."""
    while True:
        try:
            await work()
        except Exception:
            _log.exception("a fault in kegnet-client itself, please report it; the hub goes on in %.0f s", RETRY_S)
        await asyncio.sleep(RETRY_S)
