"""A page shows what is new, all of it, and not more often than anybody can read."""

import asyncio
import contextlib
from functools import partial

from kegnet_client.hub.bus import Bus
from kegnet_client.hub.dashboard.context import REST, keep_fresh
from kegnet_client.hub.store import events
from kegnet_client.hub.store.records import Store

from ...support.waits import WAIT_S
from ..conftest import NOW_MS

PAUSE_S = 0.2
EVENTS = 40


def test_what_comes_thick_and_fast_is_shown_together_and_to_its_end(store: Store) -> None:
    bus = Bus(store)
    shown: list[int] = []

    async def refresh() -> None:
        _, newest = await store.read_soon(events.read_bounds)
        shown.append(newest)

    async def come() -> float:
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(bus.run()), asyncio.create_task(keep_fresh(bus, ("data",), refresh, PAUSE_S))]
        async with asyncio.timeout(WAIT_S):
            while not shown:
                await asyncio.sleep(0.01)
            began_s = loop.time()
            for number in range(EVENTS):
                news = [("data", number)]
                await asyncio.to_thread(store.write, partial(events.append, now_ms=NOW_MS, news=news))
                bus.wake()
            while shown[-1] < EVENTS:
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return loop.time() - began_s

    took_s = asyncio.run(come())
    assert len(shown) <= 2 + took_s / PAUSE_S


def test_a_page_that_takes_long_to_read_rests_longer(store: Store) -> None:
    bus = Bus(store)
    began_s: list[float] = []

    async def come() -> None:
        loop = asyncio.get_running_loop()

        async def refresh() -> None:
            began_s.append(loop.time())
            await asyncio.sleep(PAUSE_S)

        tasks = [asyncio.create_task(bus.run()), asyncio.create_task(keep_fresh(bus, ("data",), refresh, 0.0))]
        async with asyncio.timeout(WAIT_S):
            while len(began_s) < 2:
                await asyncio.to_thread(store.write, partial(events.append, now_ms=NOW_MS, news=[("data", 1)]))
                bus.wake()
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(come())
    assert began_s[1] - began_s[0] >= (1 + REST) * PAUSE_S
