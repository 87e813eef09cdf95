"""A websocket client for tests that wait for one thing after the other.

It is the one of asyncio, in an event loop of its own thread. The one of `websockets.sync` reads in one thread what
another sends, on one TLS connection: under load Python 3.11 then loses what is sent, or the connection.
"""

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterable, Mapping
from functools import cache
from types import TracebackType
from typing import Any, Self, TypeVar

from websockets.asyncio import client
from websockets.typing import Data

from .waits import WAIT_S

T = TypeVar("T")


class WebSocket:
    """A connection to ``url``, open until the end of its block. Raises `websockets.exceptions` as that client does."""

    def __init__(self, url: str, trust: ssl.SSLContext, headers: Mapping[str, str], **options: Any) -> None:
        async def connect() -> client.ClientConnection:
            # Without a bound for what is not read yet, so that a goodbye behind it is read.
            return await client.connect(
                url, ssl=trust, additional_headers=headers, proxy=None, max_queue=None, open_timeout=WAIT_S, **options
            )

        self._connection = _wait_for(connect())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, message: Data | Iterable[Data]) -> None:
        """Send a message, several in one as its frames."""
        _wait_for(self._connection.send(message))

    def recv(self, timeout: float = WAIT_S) -> Any:
        """The next message; `TimeoutError` where none comes in so many seconds."""
        return _wait_for(asyncio.wait_for(self._connection.recv(), timeout))

    def close(self) -> None:
        """Say goodbye, and wait for the other end's."""
        _wait_for(self._connection.close())


def _wait_for(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="websockets", daemon=True).start()
    return loop
