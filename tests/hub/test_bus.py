"""Subscribers hear everything that was committed, each once and in order, and none harms another."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, asynccontextmanager, suppress

import pytest

from kegnet_client.hub import bus as bus_module
from kegnet_client.hub.bus import Bus, CutOffError, LostError, TooManyError
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.events import Event

from ..support.waits import WAIT_S


class Table:
    """Events in memory, the first of which has the id 1; ``trouble`` is what reading them ends with."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.trouble: StoreError | None = None

    def add(self, channel: str = "pours", count: int = 1) -> None:
        first = self.events[-1].id + 1 if self.events else 1
        self.events += [Event(first + number, 0, channel, "{}") for number in range(count)]

    def event_bounds(self) -> tuple[int, int]:
        return (self.events[0].id, self.events[-1].id) if self.events else (1, 0)

    def events_after(self, last_id: int, limit: int, channels: Collection[str] | None = None) -> list[Event]:
        if self.trouble is not None:
            raise self.trouble
        wanted = [one for one in self.events if one.id > last_id and (channels is None or one.channel in channels)]
        return wanted[:limit]


@asynccontextmanager
async def running(table: Table) -> AsyncIterator[Bus]:
    bus = Bus(table)
    task = asyncio.create_task(bus.run())
    await asyncio.sleep(0)
    try:
        yield bus
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def take(bus: Bus, count: int, **how: object) -> list[int]:
    """The ids of the next ``count`` events that `Bus.follow` gives."""
    found: list[int] = []
    async with asyncio.timeout(10), aclosing(bus.follow(**how)) as followed:  # type: ignore[arg-type]  # its keywords
        async for event in followed:
            if isinstance(event, Event):
                found.append(event.id)
            if len(found) == count:
                break
    return found


def run(work: Callable[[Table, Bus], Awaitable[None]]) -> None:
    async def main() -> None:
        table = Table()
        async with running(table) as bus:
            await work(table, bus)

    asyncio.run(main())


def test_what_is_committed_is_heard_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "LOOK_S", 60)

    async def work(table: Table, bus: Bus) -> None:
        table.add(count=3)
        async with bus.subscribe() as subscription:
            table.add(count=2)
            bus.wake()
            async with asyncio.timeout(10):
                assert [(await subscription.get()).id for _ in range(2)] == [4, 5]

    run(work)


def test_what_nobody_said_was_committed_is_heard_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "LOOK_S", 0.01)

    async def work(table: Table, bus: Bus) -> None:
        async with bus.subscribe() as subscription:
            table.add()
            async with asyncio.timeout(10):
                assert (await subscription.get()).id == 1

    run(work)


def test_only_the_channels_that_were_asked_for_are_heard() -> None:
    async def work(table: Table, bus: Bus) -> None:
        async with bus.subscribe({"alarms"}) as subscription:
            table.add("pours")
            table.add("alarms")
            bus.wake()
            async with asyncio.timeout(10):
                assert (await subscription.get()).id == 2

    run(work)


@pytest.mark.parametrize("after", [0, 1, 499, 500, 501, 1499, 1500])
def test_who_comes_back_hears_what_it_missed_and_then_what_comes_each_once(after: int) -> None:
    async def work(table: Table, bus: Bus) -> None:
        table.add(count=1500)
        hearing = asyncio.create_task(take(bus, 1600 - after, after=after))
        for _ in range(100):
            table.add()
            bus.wake()
            await asyncio.sleep(0)
        assert await hearing == list(range(after + 1, 1601))

    run(work)


def test_who_reads_too_slowly_is_cut_off_and_misses_nothing_when_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bus_module, "MAX_WAITING", 10)

    async def work(table: Table, bus: Bus) -> None:
        async with bus.subscribe() as slow, bus.subscribe() as other:
            heard = []
            for _ in range(30):
                table.add()
                bus.wake()
                heard.append((await other.get()).id)
            assert heard == list(range(1, 31))
            assert [(await slow.get()).id for _ in range(10)] == list(range(1, 11))
            for _ in range(2):
                with pytest.raises(CutOffError):
                    await slow.get()
        assert await take(bus, 20, after=10) == list(range(11, 31))

    run(work)


@pytest.mark.parametrize("after", [0, 8, 21])
def test_what_is_not_kept_any_more_or_never_was_is_told(after: int) -> None:
    async def work(table: Table, bus: Bus) -> None:
        table.add(count=20)
        del table.events[:9]
        with pytest.raises(LostError):
            await take(bus, 1, after=after)
        assert await take(bus, 11, after=9) == list(range(10, 21))

    run(work)


def test_the_end_of_the_hub_ends_every_subscription() -> None:
    async def work(table: Table, bus: Bus) -> None:
        async with bus.subscribe() as before:
            bus.end()
            with pytest.raises(CutOffError):
                await before.get()
        async with bus.subscribe() as after:
            with pytest.raises(CutOffError):
                await after.get()

    run(work)


def test_a_database_that_is_away_for_a_while_costs_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "LOOK_S", 0.01)

    async def work(table: Table, bus: Bus) -> None:
        async with bus.subscribe() as subscription:
            table.trouble = StoreError("away")
            table.add()
            bus.wake()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await subscription.get()
            table.trouble = None
            async with asyncio.timeout(10):
                assert (await subscription.get()).id == 1

    run(work)


def test_there_is_a_bound_on_the_subscriptions_of_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "MAX_CLIENTS", 1)

    async def work(_table: Table, bus: Bus) -> None:
        async with bus.subscribe(is_client=True):
            with pytest.raises(TooManyError):
                async with bus.subscribe(is_client=True):
                    pass
        async with bus.subscribe(is_client=True):
            pass

    run(work)


@pytest.mark.case(156)
def test_however_many_clients_there_are_the_hub_itself_hears_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "MAX_CLIENTS", 1)

    async def work(table: Table, bus: Bus) -> None:
        async with bus.subscribe(is_client=True), bus.subscribe() as pages, aclosing(bus.follow(after=0)) as outlet:
            table.add()
            bus.wake()
            async with asyncio.timeout(WAIT_S):
                assert (await pages.get()).id == 1
                told = await anext(outlet)
            assert isinstance(told, Event)
            assert told.id == 1

    run(work)


def test_who_hears_nothing_is_told_up_to_where_there_was_nothing() -> None:
    async def work(table: Table, bus: Bus) -> None:
        table.add("others", 3)
        async with asyncio.timeout(WAIT_S), aclosing(bus.follow(("pours",), ping_s=0.05)) as followed:
            assert await anext(followed) == 3
            table.add("others", 2)
            bus.wake()
            while (reached := await anext(followed)) == 3:
                pass
            assert reached == 5
            table.add("pours")
            bus.wake()
            while (heard := await anext(followed)) == 5:
                pass
            assert isinstance(heard, Event)
            assert heard.id == 6

    run(work)
