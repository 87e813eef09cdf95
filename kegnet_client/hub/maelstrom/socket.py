"""Its websocket, ``/socket``: ``{"action": "subscribe", "channel": NAME}``, ``unsubscribe``, ``ping``.

Who subscribes ``data`` gets the last value of each controller at once, ``logs`` the last lines. What is not understood
is ignored, as its server did; but one that floods, sends what is no text, subscribes to a thousand channels or takes
nothing is cut off, and harms nobody else.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterable

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.access import principal
from kegnet_client.hub.bus import Bus, CutOffError, Subscription, TooManyError
from kegnet_client.hub.listener import cut
from kegnet_client.hub.maelstrom import channels
from kegnet_client.hub.store import alarms, events
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

SEND_S = 30.0
MAX_CHANNELS = 100
MAX_MESSAGES = 200
WINDOW_S = 10.0
"""At most `MAX_MESSAGES` in this time."""
_TRY_AGAIN, _POLICY = 1013, 1008


class Sockets:
    """The open sockets of this process."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._open: set[_Socket] = set()

    def add_route(self, router: APIRouter) -> None:
        """Add ``/socket``."""

        @router.websocket("/socket")
        async def connect(websocket: WebSocket) -> None:
            await websocket.accept()
            try:
                async with self._bus.subscribe((), is_client=True) as subscription:
                    socket = _Socket(websocket, subscription, self._store)
                    self._open.add(socket)
                    try:
                        await socket.serve()
                    finally:
                        self._open.discard(socket)
            except (CutOffError, TooManyError, StoreError) as error:
                await _close(websocket, _TRY_AGAIN, str(error))

    async def send_data_again(self, name: str) -> None:
        """Send the last value of each controller to the sockets of the token ``name``."""
        for socket in list(self._open):
            if socket.name == name and "data" in socket.channels:
                await socket.send_last("data")


class _Socket:
    def __init__(self, websocket: WebSocket, subscription: Subscription, store: Store) -> None:
        self.name = principal(websocket.scope).name
        self.channels: set[str] = set()
        self._websocket = websocket
        self._subscription = subscription
        self._store = store
        self._sending = asyncio.Lock()
        self._sent_ids: dict[str, int] = {}
        self._received_s: deque[float] = deque(maxlen=MAX_MESSAGES)

    async def serve(self) -> None:
        """Until the other end goes, or has to."""
        tasks = [asyncio.ensure_future(self._receive()), asyncio.ensure_future(self._tell())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (WebSocketDisconnect, TimeoutError):
            cut(self._websocket.scope)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            now_s = asyncio.get_running_loop().time()
            if len(self._received_s) == MAX_MESSAGES and now_s - self._received_s[0] < WINDOW_S:
                await _close(self._websocket, _POLICY, f"more than {MAX_MESSAGES} messages in {WINDOW_S:.0f} s")
                return
            self._received_s.append(now_s)
            text = message.get("text")
            if text is None:
                await _close(self._websocket, 1003, "messages are text")
                return
            if not await self._act(text):
                await _close(self._websocket, _POLICY, f"more than {MAX_CHANNELS} channels")
                return

    async def _act(self, text: str) -> bool:
        """Do what ``text`` asks for, if it is anything; False where it is too much."""
        try:
            asked = json.loads(text)
            action, channel = asked.get("action"), asked.get("channel")
        except (ValueError, AttributeError, RecursionError):
            return True
        if action == "ping":
            await self._send(channels.PONG)
        elif action == "subscribe" and isinstance(channel, str) and channels.source_of(channel) is not None:
            if channel not in self.channels:
                if len(self.channels) >= MAX_CHANNELS:
                    return False
                self.channels.add(channel)
                self._listen()
                await self.send_last(channel)
        elif action == "unsubscribe" and isinstance(channel, str):
            self.channels.discard(channel)
            self._listen()
        return True

    def _listen(self) -> None:
        self._subscription.channels = {source for one in self.channels if (source := channels.source_of(one))}

    async def send_last(self, channel: str) -> None:
        """Send what a late subscriber of ``channel`` gets."""
        limit = {"data": channels.MAX_DATA, "logs": channels.MAX_LOGS, "alarms": 1}.get(channel)
        if limit is None:
            return
        async with self._sending:
            # What is new meanwhile waits for its turn, and is not sent twice.
            last = await run_in_threadpool(
                self._store.read, lambda connection: events.read_last(connection, channel, limit)
            )
            if last:
                self._sent_ids[channel] = last[-1].id
            if channel == "alarms":  # those that stand, whether what told of them is kept or not
                standing = await run_in_threadpool(self._store.read, alarms.read_standing)
                payload = channels.alarms_payload(alarms.told(standing))
                if standing:
                    await self._send_all(
                        [channels.frame(channel, json.dumps({"channel": channel, "payload": payload}))]
                    )
                return
            chosen = channels.last_of_each_controller(last) if channel == "data" else last
            await self._send_all(text for event in chosen for text in channels.frames_of(event, {channel}))

    async def _tell(self) -> None:
        while True:
            event = await self._subscription.get()
            async with self._sending:
                if event.id > self._sent_ids.get(event.channel, 0):
                    await self._send_all(channels.frames_of(event, self.channels))

    async def _send(self, text: str) -> None:
        async with self._sending:
            await self._send_all([text])

    async def _send_all(self, texts: Iterable[str]) -> None:
        async with asyncio.timeout(SEND_S):
            for text in texts:
                await self._websocket.send_text(text)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(SEND_S):
            await websocket.close(code, reason[:120])
    except (RuntimeError, TimeoutError):  # it is closed already, or takes nothing
        cut(websocket.scope)
