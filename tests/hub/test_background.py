"""What the hub does beside the requests goes on after a fault in it, which is told and hides nothing."""

import asyncio
import logging

import pytest

from kegnet_client.hub import background
from kegnet_client.hub.background import Background
from kegnet_client.hub.bus import Bus
from kegnet_client.hub.judge import Judge
from kegnet_client.hub.store import events
from kegnet_client.hub.store.records import Store

from .conftest import NOW_MS


def test_a_fault_in_judging_is_told_and_judging_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "RETRY_S", 0.0)

    async def main() -> None:
        judged = asyncio.Event()
        loop = asyncio.get_running_loop()
        faults = [ZeroDivisionError("a fault of ours")]

        def judge(_judge: Judge) -> None:
            if faults:
                raise faults.pop()
            loop.call_soon_threadsafe(judged.set)

        monkeypatch.setattr(Judge, "judge", judge)
        async with Background(store, Bus(store), lambda: NOW_MS, 7, ()).running(), asyncio.timeout(10):
            await judged.wait()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    (record,) = caplog.records
    assert "please report it" in record.message
    assert "a fault of ours" in caplog.text


def test_subscribers_hear_on_after_a_fault_in_the_bus(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "RETRY_S", 0.0)
    look = Bus._look
    faults = [ZeroDivisionError("a fault of ours")]

    async def fail_once(bus: Bus) -> None:
        if faults:
            raise faults.pop()
        await look(bus)

    monkeypatch.setattr(Bus, "_look", fail_once)

    async def main() -> None:
        bus = Bus(store)
        async with Background(store, bus, lambda: NOW_MS, 7, ()).running(), asyncio.timeout(10):
            while faults:
                bus.wake()
                await asyncio.sleep(0.01)
            while bus._loop is None:
                await asyncio.sleep(0.01)
            async with bus.subscribe({"test"}) as subscription:
                await asyncio.to_thread(
                    store.write, lambda connection: events.append(connection, NOW_MS, [("test", 1)])
                )
                assert (await subscription.get()).body == "1"

    asyncio.run(main())
    assert "a fault of ours" in caplog.text
