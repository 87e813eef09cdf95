"""Pages that ask for the same at the same time read it once, and none is told less than what held when it asked."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kegnet_client.hub.dashboard.together import Together

Act = Callable[["Reading"], Awaitable[None]]


class Reading:
    """Something that is read slowly, and changes."""

    def __init__(self) -> None:
        self.holds = 0
        self.reads = 0
        self.may_go_on = asyncio.Event()
        self.together = Together(self.read)

    async def read(self) -> int:
        """What holds as it begins."""
        self.reads += 1
        found = self.holds
        if found < 0:
            raise ValueError("it cannot be read")
        await self.may_go_on.wait()
        return found

    def ask(self) -> "asyncio.Task[int]":
        """One page more."""
        return asyncio.create_task(self.together.ask())


def run(act: Act) -> None:
    """Let ``act`` happen in a loop of its own."""

    async def main() -> None:
        async with asyncio.timeout(10):
            await act(Reading())

    asyncio.run(main())


async def until_read(reading: Reading, times: int) -> None:
    while reading.reads < times:
        await asyncio.sleep(0)


def test_twenty_pages_read_once() -> None:
    async def act(reading: Reading) -> None:
        reading.may_go_on.set()
        assert await asyncio.gather(*(reading.ask() for _ in range(20))) == [0] * 20
        assert reading.reads == 1

    run(act)


def test_who_asks_while_it_is_read_is_told_what_held_when_they_asked() -> None:
    async def act(reading: Reading) -> None:
        first = reading.ask()
        await until_read(reading, 1)
        reading.holds = 1
        later = [reading.ask() for _ in range(5)]
        await asyncio.sleep(0)
        reading.may_go_on.set()
        assert await first == 0
        assert await asyncio.gather(*later) == [1] * 5
        assert reading.reads == 2

    run(act)


def test_a_page_that_is_closed_takes_nothing_from_the_others() -> None:
    async def act(reading: Reading) -> None:
        gone, stays = reading.ask(), reading.ask()
        await until_read(reading, 1)
        gone.cancel()
        reading.may_go_on.set()
        assert await stays == 0
        assert gone.cancelled()

    run(act)


def test_a_failure_is_told_to_all_who_asked_and_the_next_one_is_answered() -> None:
    async def act(reading: Reading) -> None:
        reading.may_go_on.set()
        reading.holds = -1
        for one in [reading.ask(), reading.ask()]:
            with pytest.raises(ValueError, match="cannot be read"):
                await one
        reading.holds = 2
        assert await reading.ask() == 2

    run(act)
