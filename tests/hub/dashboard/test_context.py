"""A page shows what is new, all of it, and not more often than anybody can read."""

import asyncio
import contextlib
from functools import partial

import pytest

from kegnet_client.hub.bus import Bus
from kegnet_client.hub.dashboard import context
from kegnet_client.hub.dashboard.context import REST, keep_fresh
from kegnet_client.hub.store import events
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

from ...support.waits import WAIT_S
from ..conftest import NOW_MS

PAUSE_S = 0.2
EVENTS = 40


def say_nothing(*, is_fresh: bool) -> None:
    """Nobody is told."""
    del is_fresh


def test_what_comes_thick_and_fast_is_shown_together_and_to_its_end(store: Store) -> None:
    bus = Bus(store)
    shown: list[int] = []

    async def refresh() -> None:
        _, newest = await store.read_soon(events.read_bounds)
        shown.append(newest)

    async def come() -> float:
        loop = asyncio.get_running_loop()
        tasks = [
            asyncio.create_task(bus.run()),
            asyncio.create_task(keep_fresh(bus, ("data",), refresh, PAUSE_S, say_nothing)),
        ]
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

        tasks = [
            asyncio.create_task(bus.run()),
            asyncio.create_task(keep_fresh(bus, ("data",), refresh, 0.0, say_nothing)),
        ]
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


class _Leap(asyncio.SelectorEventLoop):
    """A loop whose clock can leap: a machine that was held up."""

    leapt_s = 0.0

    def time(self) -> float:
        return super().time() + self.leapt_s


@pytest.mark.case(155)
def test_a_page_that_was_held_up_for_a_minute_does_not_rest_for_minutes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "REFRESH_S", PAUSE_S)
    bus = Bus(store)
    shown: list[int] = []
    loop = _Leap()

    async def refresh() -> None:
        _, newest = await store.read_soon(events.read_bounds)
        shown.append(newest)
        if len(shown) == 1:
            loop.leapt_s += 60.0

    async def come() -> None:
        async with asyncio.timeout(WAIT_S + 60.0):
            task = asyncio.create_task(keep_fresh(bus, ("data",), refresh, 0.0, say_nothing))
            while not shown:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(store.write, partial(events.append, now_ms=NOW_MS, news=[("data", 1)]))
            while shown[-1] < 1:
                await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    try:
        loop.run_until_complete(come())
    finally:
        loop.close()


def test_a_page_goes_on_after_a_fault_in_it_which_the_log_tells(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(context, "AFTER_FAULT_S", 0.0)
    bus = Bus(store)
    shown: list[int] = []

    async def refresh() -> None:
        shown.append(len(shown))
        if len(shown) == 1:
            raise KeyError("what nobody thought of")

    async def come() -> None:
        async with asyncio.timeout(WAIT_S):
            task = asyncio.create_task(keep_fresh(bus, ("data",), refresh, 0.0, say_nothing))
            while len(shown) < 2 and not task.done():
                await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(come())
    assert shown == [0, 1]
    assert "report it" in caplog.text


def test_a_page_that_cannot_read_says_so_until_it_can(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "REFRESH_S", 0.0)
    monkeypatch.setattr(context, "RETRY_S", 0.0)
    monkeypatch.setattr(context, "AFTER_FAULT_S", 0.0)
    bus = Bus(store)
    causes: list[Exception | None] = [None, StoreError("away"), KeyError("a fault"), None]
    said: list[bool] = []

    async def refresh() -> None:
        cause = causes.pop(0) if causes else None
        if cause is not None:
            raise cause

    def tell(*, is_fresh: bool) -> None:
        said.append(is_fresh)

    async def come() -> None:
        async with asyncio.timeout(WAIT_S):
            task = asyncio.create_task(keep_fresh(bus, ("data",), refresh, 0.0, tell))
            while len(said) < 4:
                await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(come())
    assert said[:4] == [True, False, False, True]
