"""Kegbot's channel on a Redis server, in a thread of its own: a server that hangs holds up nothing else.

What is said while it is away is lost, as a channel of Redis keeps nothing.
"""

import importlib
import logging
import os
import queue
import threading
from typing import Any

from kegnet_client.core.errors import SourceError
from kegnet_client.core.wire.local_events import CHANNEL, MAX_MESSAGE_BYTES
from kegnet_client.host.condition import Condition

MAX_WAITING = 1000
"""Messages that wait for their turn, each way."""
LOOK_S = 0.2
PATIENCE_S = 5.0
RETRY_S = 2.0

log = logging.getLogger(__name__)


class RedisChannel:
    """Hears and says messages on the channel of the server at ``url``; `fileno` can be read from when there are some.

    Raises `SourceError` without the library.
    """

    def __init__(self, url: str) -> None:
        try:
            self._redis: Any = importlib.import_module("redis")
        except ImportError:
            raise SourceError("the Python package redis is missing: pip install 'kegnet-client[redis]'") from None
        self._url = url
        self._heard: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
        self._unsaid: queue.Queue[bytes] = queue.Queue(MAX_WAITING)
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._absent = Condition(log)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redis", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """Why nothing is heard there, if so."""
        return self._absent.text

    def fileno(self) -> int:
        """What to wait for."""
        return self._event

    def take(self) -> list[bytes | None]:
        """What was heard since the last time; None stands for a message that is too long."""
        os.eventfd_read(self._event)
        return [self._heard.get_nowait() for _ in range(self._heard.qsize())]

    def send(self, message: bytes) -> None:
        """Say ``message`` there, if the server is there."""
        if self._absent.text is None and not self._unsaid.full():
            self._unsaid.put_nowait(message)

    def close(self) -> None:
        """Have it end soon."""
        self._stopping.set()
        self._thread.join(2 * LOOK_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._redis.Redis.from_url(
                    self._url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S
                ) as server:
                    self._listen(server)
            except (self._redis.RedisError, OSError, ValueError) as error:
                text = (
                    f"the Redis server does not answer ({type(error).__name__}): start it, or fix [LocalEvents] redis"
                )
                self._absent.begin(text, f"{text}; programs over TCP are heard")
                self._stopping.wait(RETRY_S)

    def _listen(self, server: Any) -> None:
        with server.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(CHANNEL)
            server.ping()
            self._absent.end("the Redis server answers again")
            while not self._stopping.is_set():
                found = channel.get_message(timeout=LOOK_S)
                if found is not None and isinstance(found.get("data"), bytes):
                    self._hear(found["data"])
                while not self._unsaid.empty():
                    server.publish(CHANNEL, self._unsaid.get_nowait())

    def _hear(self, message: bytes) -> None:
        if self._heard.full():
            return
        self._heard.put_nowait(message if len(message) <= MAX_MESSAGE_BYTES else None)
        os.eventfd_write(self._event, 1)
