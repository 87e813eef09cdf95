"""What is new goes from the table of events to everybody who listens in this process.

The table is the truth, whoever wrote into it: after each commit here, when another process says that it committed, and
every `LOOK_S` anyway, the bus reads what is after its last id and gives it to each subscription. A subscription is a
bounded queue. Who does not read fast enough is cut off (`CutOffError`), goes on from its last id when it comes back,
and harms nobody else meanwhile.

To be used by the event loop alone, but for `Bus.wake`; the database is read in a thread.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from kegnet_client.core.errors import KegnetError
from kegnet_client.host.condition import Condition
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.events import Event

LOOK_S = 2.0
MAX_WAITING = 1000
"""Events that a subscription holds for one who does not read them."""
MAX_CLIENTS = 500
"""Subscriptions of clients. The hub's own, for alarms, outlets and pages, are few, and no client keeps them out."""
_PAGE = 500

_log = logging.getLogger(__name__)


class Source(Protocol):
    """Where events are kept."""

    def event_bounds(self) -> tuple[int, int]:
        """The ids of the oldest and of the newest event that are kept."""
        ...

    def events_after(self, last_id: int, limit: int, channels: Collection[str] | None = None) -> list[Event]:
        """At most ``limit`` events after ``last_id``, the oldest first."""
        ...


class CutOffError(KegnetError):
    """A subscription was not read for too long, or the hub stops; what is after its last event can be asked for."""


class TooManyError(KegnetError):
    """There are `MAX_CLIENTS` already."""


class LostError(KegnetError):
    """Events after the asked one are not kept any more, or that one is of another database."""


class Subscription:
    """Events of ``channels`` (None: of all) that come after the one with ``since_id``."""

    def __init__(self, channels: Collection[str] | None, since_id: int) -> None:
        self.channels = None if channels is None else set(channels)
        """May be changed at any time."""
        self.since_id = since_id
        self._waiting: asyncio.Queue[Event | None] = asyncio.Queue()
        self._is_cut_off = False

    async def get(self) -> Event:
        """The next event, when there is one; `CutOffError` when there will be none."""
        event = await self._waiting.get()
        if event is None:
            self._waiting.put_nowait(None)  # for the next call
            raise CutOffError("the events were not read fast enough, or the hub stops")
        return event

    def has_waiting(self) -> bool:
        """Whether `get` has something to give at once."""
        return not self._waiting.empty()

    def drop_waiting(self) -> None:
        """Forget what waits, for one to whom it only matters that something is new."""
        while not self._waiting.empty() and not self._is_cut_off:
            self._waiting.get_nowait()

    def offer(self, event: Event) -> None:
        """Take ``event``, if it is wanted."""
        if self._is_cut_off or (self.channels is not None and event.channel not in self.channels):
            return
        if self._waiting.qsize() >= MAX_WAITING:
            self.cut_off()
        else:
            self._waiting.put_nowait(event)

    def cut_off(self) -> None:
        """Give nothing more than what waits."""
        if not self._is_cut_off:
            self._is_cut_off = True
            self._waiting.put_nowait(None)


class Bus:
    """Reads ``source`` and gives what is new to all subscriptions."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._subscriptions: set[Subscription] = set()
        self._clients = 0
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_id = 0
        self._trouble = Condition(_log)
        self._looking = asyncio.Lock()
        self._is_over = False

    def wake(self) -> None:
        """Say that something was committed; from any thread, while the bus runs or not."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended just now
                loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Until cancelled; then every subscription ends."""
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        try:
            while True:
                self._woken.clear()
                if self._subscriptions:
                    await self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._woken.wait()
        finally:
            self._loop = None
            self.end()

    def end(self) -> None:
        """End every subscription, and those to come: the hub stops."""
        self._is_over = True
        for subscription in self._subscriptions:
            subscription.cut_off()

    @asynccontextmanager
    async def subscribe(
        self, channels: Collection[str] | None = None, *, is_client: bool = False
    ) -> AsyncIterator[Subscription]:
        """A subscription of ``channels``, or of all, to what comes from now on; raises `StoreError`.

        Where it ``is_client``, somebody outside of the hub holds it: `TooManyError` if there are as many as may be.
        """
        async with self._looking:
            if is_client and self._clients >= MAX_CLIENTS:
                raise TooManyError(f"{MAX_CLIENTS} subscriptions are open already: try again later")
            if not self._subscriptions:  # nobody has looked since the last one went
                _, self._last_id = await run_in_threadpool(self._source.event_bounds)
            subscription = Subscription(channels, self._last_id)
            self._subscriptions.add(subscription)
            self._clients += is_client
        try:
            if self._is_over:
                subscription.cut_off()
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            self._clients -= is_client

    async def follow(
        self,
        channels: Collection[str] | None = None,
        after: int | None = None,
        ping_s: float | None = None,
        *,
        is_client: bool = False,
    ) -> AsyncGenerator[Event | int, None]:
        """Every event of ``channels`` after the one with the id ``after``, or from now on, each once and in order.

        An id is given where all events up to that one were: at the beginning, unless ``after`` tells it, and whenever
        nothing came for ``ping_s``. Raises `LostError` where some are not kept any more,
        `CutOffError`, `StoreError` and, for a client, `TooManyError`.
        """
        if after is not None:
            # Most of it before there is a queue, which would overflow meanwhile.
            async for event in self._read(channels, after, None):
                after = event.id
                yield event
        async with self.subscribe(channels, is_client=is_client) as subscription:
            if after is not None:
                async for event in self._read(channels, after, subscription.since_id):
                    after = event.id
                    yield event
            else:
                yield subscription.since_id
            while True:
                try:
                    async with asyncio.timeout(ping_s):
                        event = await subscription.get()
                except TimeoutError:
                    if not subscription.has_waiting():  # what came just now was not given
                        yield max(self._last_id, after or 0)
                    continue
                if after is None or event.id > after:
                    yield event

    async def newest_id(self) -> int:
        """The id of the newest event."""
        return (await run_in_threadpool(self._source.event_bounds))[1]

    async def _read(self, channels: Collection[str] | None, after: int, until: int | None) -> AsyncIterator[Event]:
        """The events after ``after`` up to ``until``, or up to the newest but for a page."""
        while until is None or after < until:
            oldest, newest = await run_in_threadpool(self._source.event_bounds)
            if after < oldest - 1 or after > newest:
                raise LostError(f"of the events after {after} some are not kept any more")
            page = await run_in_threadpool(self._source.events_after, after, _PAGE, channels)
            for event in page:
                after = event.id
                yield event
            if len(page) < _PAGE:
                return

    async def _look(self) -> None:
        async with self._looking:
            try:
                while page := await run_in_threadpool(self._source.events_after, self._last_id, _PAGE):
                    for event in page:
                        for subscription in self._subscriptions:
                            subscription.offer(event)
                    self._last_id = page[-1].id
            except StoreError as error:
                self._trouble.begin(str(error), f"{error}; subscribers hear nothing new until it can")
                return
            self._trouble.end("subscribers hear what is new again")
