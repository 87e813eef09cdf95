"""A connection that was upgraded: only with the token, and for as long as it lasts.

The hub speaks no websocket yet, so that the frames here are plain lines; connections, TLS and the application are real.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import WebSocket
from uvicorn.server import ServerState

from kegnet_client.hub import connections, listener, serve
from kegnet_client.hub.app import create_app
from kegnet_client.hub.home import Home
from kegnet_client.hub.store.records import Store

SHORT_S = 0.2


class Lines(asyncio.Protocol):
    """In the place of uvicorn's websocket protocol: a message is a line."""

    def __init__(self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._app = config.loaded_app
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            self._messages.put_nowait({"type": "websocket.receive", "text": data.decode()})
            return
        first, *headers = data.decode("latin-1").rstrip("\r\n").split("\r\n")
        scope = {
            "type": "websocket",
            "path": first.split()[1],
            "query_string": b"",
            "headers": [tuple(part.encode() for part in line.lower().split(": ", 1)) for line in headers],
            "client": self._transport.get_extra_info("socket").getpeername()[:2],
            "server": self._transport.get_extra_info("socket").getsockname()[:2],
        }
        self._messages.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.ensure_future(self._app(scope, self._messages.get, self._send))

    def connection_lost(self, _error: Exception | None) -> None:
        self._messages.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def _send(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "websocket.accept":
                self._transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            case "websocket.send":
                self._transport.write(message["text"].encode())
            case _:
                self._transport.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                self._transport.close()


@pytest.fixture
def connect(
    make_home: Callable[[], Home], store: Store, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], ssl.SSLSocket]]:
    """``connect(token)``: a connection that asked for an upgrade, to a hub that waits for nothing for long."""
    for name in ("UNPROVEN_IDLE_S", "UNPROVEN_REQUEST_S", "KEEP_ALIVE_S", "GOODBYE_S"):
        monkeypatch.setattr(connections, name, SHORT_S)
    monkeypatch.setattr(listener, "SWEEP_S", SHORT_S / 4)
    home = make_home()
    # The tokens of the cookie and of the header are lower case here, since `Lines` is not careful.
    app = create_app(store, "t" * 43, home.ca())

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    ready = threading.Event()
    streams: list[ssl.SSLSocket] = []
    with serve.listen("127.0.0.1", 0) as listening:
        address = listening.getsockname()
        server = serve.HubServer(app, home, listening, on_ready=ready.set)
        server.config.ws_protocol_class = Lines
        thread = threading.Thread(target=server.serve_until_stopped)
        thread.start()
        assert ready.wait(10)

        def upgrade(token: str) -> ssl.SSLSocket:
            context = ssl.create_default_context(cafile=home.ca_certificate)
            plain = socket.create_connection(address, timeout=10)
            stream = context.wrap_socket(plain, server_hostname="localhost")
            streams.append(stream)
            head = "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            stream.sendall(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
            return stream

        yield upgrade
        for stream in streams:
            stream.close()
        server.should_exit = True
        thread.join()


def test_one_with_the_token_lasts_however_long_it_is_busy(connect: Callable[[str], ssl.SSLSocket]) -> None:
    stream = connect("t" * 43)
    assert stream.recv(4096).startswith(b"HTTP/1.1 101 ")
    until_s = time.monotonic() + 10 * SHORT_S
    while time.monotonic() < until_s:
        stream.sendall(b"more")
        assert stream.recv(4096) == b"more"
        time.sleep(SHORT_S / 4)


def test_one_without_the_token_is_refused_and_ended(connect: Callable[[str], ssl.SSLSocket]) -> None:
    stream = connect("wrong")
    assert stream.recv(4096).startswith(b"HTTP/1.1 403 ")
    assert stream.recv(4096) == b""
