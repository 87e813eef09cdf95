"""One answer for all who ask at about the same time: twenty pages that show the same read it once an event."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Together(Generic[_T]):
    """Calls ``work`` for everybody who asks before it begins; who asks while it is under way gets the next answer.

    So nobody is told less than what held when they asked. For one event loop.
    """

    def __init__(self, work: Callable[[], Awaitable[_T]]) -> None:
        self._work = work
        self._under_way: asyncio.Task[_T] | None = None
        self._next: asyncio.Task[_T] | None = None

    async def ask(self) -> _T:
        """The answer; raises what ``work`` raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._answer(self._under_way))
        # Whoever goes away meanwhile takes nothing from the others.
        return await asyncio.shield(self._next)

    async def _answer(self, before: "asyncio.Task[_T] | None") -> _T:
        if before is not None:
            await asyncio.wait([before])
        self._under_way, self._next = self._next, None
        return await self._work()
