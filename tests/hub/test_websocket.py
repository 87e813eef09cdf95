"""Websockets over real TLS: only with the token, for as long as they last, and never more than they may take."""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from socket import create_connection
from typing import Any, cast

import pytest
import uvicorn
from fastapi import WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from kegnet_client.hub import connections, listener, serve
from kegnet_client.hub.app import create_app
from kegnet_client.hub.domain.roles import Role
from kegnet_client.hub.home import Home
from kegnet_client.hub.hub_section import HubSettings
from kegnet_client.hub.store.records import Store
from kegnet_client.hub.websocket import MAX_MESSAGE_BYTES, WebSocketProtocol

from ..support.waits import WAIT_S
from ..support.websocket import WebSocket as Client
from .test_roles import make_token, revoke

SHORT_S = 0.2


def make_request(path: str, *headers: str) -> bytes:
    """The request that begins a websocket."""
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key)
    return "\r\n".join([f"GET {path} HTTP/1.1", *headers, *upgrade, "", ""]).encode()


def send_often(stream: ssl.SSLSocket, data: bytes, times: int) -> None:
    for _ in range(times):
        stream.sendall(data)


class Hub:
    """A hub that waits for nothing for long; ``let`` ends the wait of ``/held``, and ``gone`` is said by ``/flood``."""

    def __init__(self, home: Home, store: Store, port: int, stack: ExitStack) -> None:
        self.store = store
        self.stop: Callable[[], None] = lambda: None
        self.origin = f"https://localhost:{port}"
        self.let = threading.Event()
        self.gone = threading.Event()
        self._home = home
        self._port = port
        self._stack = stack

    def connect(self, path: str, token: str | None = None, **headers: str) -> Client:
        """A websocket; the first token is the one of the file."""
        context = ssl.create_default_context(cafile=self._home.ca_certificate)
        headers["Authorization"] = f"Bearer {self._home.token() if token is None else token}"
        url = f"wss://localhost:{self._port}{path}"
        return self._stack.enter_context(Client(url, context, headers, ping_interval=None))

    def connect_bare(self, path: str) -> ssl.SSLSocket:
        """The connection under a websocket, on which nobody answers anything."""
        context = ssl.create_default_context(cafile=self._home.ca_certificate)
        plain = create_connection(("127.0.0.1", self._port), timeout=WAIT_S)
        stream = self._stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
        stream.sendall(make_request(path, "Host: localhost", f"Authorization: Bearer {self._home.token()}"))
        assert stream.recv(12) == b"HTTP/1.1 101"
        return stream


@pytest.fixture(params=[HubSettings(origins=("https://bar.example",))])
def hub(
    request: pytest.FixtureRequest, make_home: Callable[[], Home], store: Store, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    for name in ("KEEP_ALIVE_S", "GOODBYE_S"):
        monkeypatch.setattr(connections, name, SHORT_S)
    for name in ("UNPROVEN_IDLE_S", "UNPROVEN_REQUEST_S"):  # a handshake on a busy machine takes a while
        monkeypatch.setattr(connections, name, 5 * SHORT_S)
    monkeypatch.setattr(listener, "SWEEP_S", SHORT_S / 4)
    monkeypatch.setattr(serve, "PING_INTERVAL_S", SHORT_S)
    monkeypatch.setattr(serve, "PING_TIMEOUT_S", 10 * SHORT_S)
    home = make_home()
    app = create_app(store, home.token(), home.ca(), settings=request.param)

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    @app.websocket("/held")
    async def held(websocket: WebSocket) -> None:
        await websocket.accept()
        await run_in_threadpool(running.let.wait, WAIT_S)
        async for _ in websocket.iter_text():
            pass

    @app.websocket("/flood")
    async def flood(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("x" * 10_000)
        except WebSocketDisconnect:
            running.gone.set()

    ready = threading.Event()
    with serve.listen("127.0.0.1", 0) as listening:
        server = serve.HubServer(app, home, listening, on_ready=ready.set)
        thread = threading.Thread(target=server.serve_until_stopped)
        with ExitStack() as stack:
            running = Hub(home, store, listening.getsockname()[1], stack)

            def stop() -> None:
                server.should_exit = True
                thread.join()

            running.stop = stop
            thread.start()
            assert ready.wait(WAIT_S)
            yield running
            running.let.set()
        stop()


def test_one_with_the_token_lasts_however_long_it_is_busy(hub: Hub) -> None:
    websocket = hub.connect("/echo")
    until_s = time.monotonic() + 10 * SHORT_S
    while time.monotonic() < until_s:
        websocket.send("more")
        assert websocket.recv(WAIT_S) == "more"
        time.sleep(SHORT_S / 4)


def test_one_that_answers_pings_lasts_however_quiet_it_is(hub: Hub) -> None:
    websocket = hub.connect("/echo")
    with pytest.raises(TimeoutError):
        websocket.recv(10 * SHORT_S)
    websocket.send("still here")
    assert websocket.recv(WAIT_S) == "still here"


@pytest.mark.parametrize("path", ["/echo", "/there/is/none"])
def test_one_without_the_token_is_refused(hub: Hub, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        hub.connect(path, "wrong")
    assert refused.value.response.status_code == 403


PUBLIC = HubSettings(public_view=True)


@pytest.mark.case(65)
@pytest.mark.parametrize("hub", [HubSettings(), PUBLIC], ids=["closed", "public"], indirect=True)
def test_one_ends_within_seconds_when_its_token_is_revoked_and_no_other_does(hub: Hub) -> None:
    websocket, other = (hub.connect("/echo", make_token(hub.store, name, Role.OPERATE)) for name in ("anna", "bob"))
    revoke(hub.store, "anna")
    began_s = time.monotonic()
    with pytest.raises(ConnectionClosed):
        websocket.recv(WAIT_S)
    assert time.monotonic() - began_s < 5
    other.send("still here")
    assert other.recv(WAIT_S) == "still here"


@pytest.mark.parametrize("hub", [PUBLIC], ids=["public"], indirect=True)
def test_a_guests_lasts_however_quiet_it_is(hub: Hub) -> None:
    websocket = hub.connect("/echo", "wrong")
    with pytest.raises(TimeoutError):
        websocket.recv(10 * SHORT_S)


@pytest.mark.case(66)
def test_only_a_page_of_our_own_may_open_one(hub: Hub) -> None:
    for origin in (hub.origin, "https://bar.example"):
        websocket = hub.connect("/echo", Origin=origin)
        websocket.send("hello")
        assert websocket.recv(WAIT_S) == "hello"
    for origin in ("https://evil.example", "null", hub.origin.replace("https", "http"), "https://bar.example.evil"):
        with pytest.raises(InvalidStatus) as refused:
            hub.connect("/echo", Origin=origin)
        assert refused.value.response.status_code == 403


@pytest.mark.case(68)
def test_a_message_up_to_the_bound_is_taken_and_a_larger_one_ends_it(hub: Hub) -> None:
    websocket = hub.connect("/echo")
    websocket.send("x" * MAX_MESSAGE_BYTES)
    assert websocket.recv(WAIT_S) == "x" * MAX_MESSAGE_BYTES
    websocket.send(["y" * MAX_MESSAGE_BYTES, "y"])  # in two frames
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(WAIT_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


@pytest.mark.case(68)
def test_what_is_no_text_ends_it_and_nothing_else(hub: Hub) -> None:
    stream, other = hub.connect_bare("/echo"), hub.connect("/echo")
    stream.sendall(Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True))
    said = b""
    while data := stream.recv(4096):
        said += data
    assert said.endswith(Frame(Opcode.CLOSE, (1007).to_bytes(2, "big")).serialize(mask=False))
    other.send("unharmed")
    assert other.recv(WAIT_S) == "unharmed"


@pytest.mark.case(68)
def test_what_is_not_taken_yet_is_not_read_either(hub: Hub) -> None:
    stream = hub.connect_bare("/held")
    stream.settimeout(4 * SHORT_S)
    message = Frame(Opcode.TEXT, b"x" * 60_000).serialize(mask=True)
    with pytest.raises(OSError, match=r"timed out|EOF|reset|pipe"):  # the buffers of both ends are full
        send_often(stream, message, 1000)


@pytest.mark.case(68)
def test_one_that_pings_and_reads_nothing_is_ended(hub: Hub) -> None:
    stream = hub.connect_bare("/flood")
    pings = Frame(Opcode.PING, b"p" * 125).serialize(mask=True) * 100
    with pytest.raises(OSError, match=r"timed out|EOF|reset|pipe"):
        send_often(stream, pings, 100_000)
    assert hub.gone.wait(WAIT_S)


def test_one_that_answers_no_ping_is_ended(hub: Hub) -> None:
    stream = hub.connect_bare("/echo")
    while stream.recv(4096):
        pass


def test_the_hub_stops_in_time_whoever_is_connected_and_says_so(hub: Hub) -> None:
    websocket = hub.connect("/echo")
    silent = [hub.connect_bare(path) for path in ("/echo", "/flood")]
    began_s = time.monotonic()
    hub.stop()
    assert time.monotonic() - began_s < 2
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv(WAIT_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert len(silent) == 2


class Wire(asyncio.Transport):
    """A transport that notes what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass


@pytest.mark.case(68)
def test_pings_are_answered_to_who_reads_the_answers_alone() -> None:
    async def accept(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    async def serve_one() -> None:
        config = uvicorn.Config(cast(Any, accept), ws_per_message_deflate=False, log_config=None)
        config.load()
        protocol, wire = WebSocketProtocol(config, ServerState(), {}), Wire()
        protocol.connection_made(wire)
        protocol.data_received(make_request("/", "Host: localhost"))
        (task,) = protocol.tasks
        while b"101" not in wire.written:
            await asyncio.sleep(0)
        ping = Frame(Opcode.PING, b"hello").serialize(mask=True)
        wire.written.clear()
        protocol.data_received(ping)
        assert wire.written == Frame(Opcode.PONG, b"hello").serialize(mask=False)
        protocol.pause_writing()
        protocol.data_received(1000 * ping)
        assert len(wire.written) == len(Frame(Opcode.PONG, b"hello").serialize(mask=False))
        protocol.resume_writing()
        protocol.data_received(ping)
        assert wire.written == 2 * Frame(Opcode.PONG, b"hello").serialize(mask=False)
        protocol.stop_keepalive()
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(serve_one())
