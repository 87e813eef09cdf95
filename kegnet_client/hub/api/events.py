"""What is new, as it comes: server-sent events, each with the id after which a client that was cut off goes on.

``GET /api/events?channels=pours,alarms`` with ``Last-Event-ID`` (or ``after``) gives everything after that event, and
without it what comes from now on. An event of the type ``reset`` says that some of what was asked for is not kept any
more: read the lists again; what follows it is new. A comment goes at the beginning and every `PING_S`, with the id
that is reached.

A client that takes nothing for `SEND_S`, or falls `bus.MAX_WAITING` events behind, is cut off.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from starlette.types import Receive, Scope, Send

from kegnet_client.hub.bus import Bus, CutOffError, LostError, TooManyError
from kegnet_client.hub.listener import cut
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.events import Event

PING_S = 15.0
SEND_S = 30.0
MEDIA_TYPE = "text/event-stream"
MAX_CHANNELS = 50
_CHANNEL = re.compile(r"_?[a-z0-9][a-z0-9_-]{0,63}")


def make_router(bus: Bus) -> APIRouter:
    """The route, over ``bus``."""
    router = APIRouter(prefix="/api")

    @router.get("/events", response_class=Response, responses=_RESPONSES)
    def events(
        request: Request,
        channels: Annotated[str | None, Query(max_length=4000, description="names with commas between; all")] = None,
        after: Annotated[int | None, Query(ge=0, le=2**63 - 1, description="an event's id: go on behind it")] = None,
        last_event_id: Annotated[str | None, Header(max_length=20)] = None,
    ) -> Response:
        """What is new, as it comes (server-sent events)."""
        if last_event_id is not None:
            after = _number(last_event_id)
        return _Stream(bus, None if channels is None else _names(channels), after)

    return router


class _Stream(Response):
    media_type = MEDIA_TYPE

    def __init__(self, bus: Bus, channels: frozenset[str] | None, after: int | None) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._bus = bus
        self._channels = channels
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        # Whoever of the two ends first, ends the other: the client that goes, or the events.
        sending = asyncio.ensure_future(self._send_all(send))
        going = asyncio.ensure_future(_wait_until_gone(receive))
        try:
            await asyncio.wait((sending, going), return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not sending.result():
                cut(scope)
        finally:
            for task in (sending, going):
                task.cancel()
            await asyncio.gather(sending, going, return_exceptions=True)

    async def _send_all(self, send: Send) -> bool:
        """Send what comes; False where the client takes nothing any more."""
        try:
            async with aclosing(self._texts()) as texts:
                async for text in texts:
                    async with asyncio.timeout(SEND_S):
                        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                    # What is caught up with comes without a pause: the loop must hear of a client that has gone, or
                    # each further write is a line in the log.
                    await asyncio.sleep(0)
            async with asyncio.timeout(SEND_S):
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            return False
        return True

    async def _texts(self) -> AsyncGenerator[str, None]:
        yield ": what is new\n\n"
        try:
            while True:
                try:
                    following = self._bus.follow(self._channels, self._after, PING_S, is_client=True)
                    async with aclosing(following) as followed:
                        async for event in followed:
                            yield _text(event) if isinstance(event, Event) else _reached(event)
                except LostError:
                    self._after = await self._bus.newest_id()
                    yield f"id: {self._after}\nevent: reset\ndata: {{}}\n\n"
        except (CutOffError, TooManyError, StoreError) as error:
            yield f": {error}\n\n"


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _text(event: Event) -> str:
    return f"id: {event.id}\nevent: {event.channel}\ndata: {event.body}\n\n"


def _reached(event_id: int) -> str:
    """No event, but a client that is cut off before its first one, or long after its last, goes on without a gap."""
    return f"id: {event_id}\n: nothing new\n\n"


def _names(channels: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in channels.split(","))
    wrong = sorted(name for name in names if not _CHANNEL.fullmatch(name))
    if wrong:
        raise HTTPException(422, f"channels: {wrong[0][:70]!r} is no name of a channel")
    if len(names) > MAX_CHANNELS:
        raise HTTPException(422, f"channels: more than {MAX_CHANNELS}")
    return names


def _number(last_event_id: str) -> int | None:
    """The id; None where it is empty, as it is before the first event."""
    text = last_event_id.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) >= 2**63:
        raise HTTPException(422, f"Last-Event-ID: {text!r} is no event's id")
    return int(text)


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
    401: {"description": "no token, or a wrong one"},
    503: {"description": "the database cannot answer now"},
}
