"""One deadline over the whole exchange, however slowly a server answers; and an abort from another thread."""

import socket
import ssl
import threading
import time
from typing import Any

import pytest

from kegnet_client.core.errors import TransportError, UntrustedServerError
from kegnet_client.net.client import Transport

from ..support.sockets import Behaviour, Connection, Serve, Server
from ..support.waits import WAIT_S
from .exchange import AT_ONCE_S, DEADLINE_S, Connect, post


def drip_the_status_line(connection: Connection) -> None:
    connection.request()
    connection.drip(b"HTTP/1.1 200 " + b"O" * 1000)


def drip_the_headers(connection: Connection) -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")
    connection.drip(b"X-Patience: " + b"x" * 1000)


def drip_the_body(connection: Connection) -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    connection.drip(b"x" * 1000)


def drip_a_body_without_end(connection: Connection) -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    connection.drip(b"x" * 1000)


def drip_headers_of_the_last_answer(connection: Connection) -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
    connection.drip(b"X-Patience: " + b"x" * 1000)


def say_continue_for_ever(connection: Connection) -> None:
    connection.request()
    connection.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def say_nothing(connection: Connection) -> None:
    connection.request()
    connection.server.closing.wait()


@pytest.mark.parametrize(
    "behave",
    [
        drip_the_status_line,
        drip_the_headers,
        drip_the_body,
        drip_a_body_without_end,
        drip_headers_of_the_last_answer,
        say_continue_for_ever,
        say_nothing,
    ],
)
def test_an_answer_that_takes_too_long_is_ended_by_the_deadline(
    serve: Serve, connect: Connect, behave: Behaviour
) -> None:
    assert_ended_by_the_deadline(connect(DEADLINE_S), serve(behave))


def test_a_dripped_handshake_is_ended_by_the_deadline(serve: Serve, connect: Connect) -> None:
    def behave(connection: Connection) -> None:
        assert connection.server.context is not None
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server_side = connection.server.context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(connection.plain.recv(65536))
        with pytest.raises(ssl.SSLWantReadError):
            server_side.do_handshake()
        connection.drip(outgoing.read())

    assert_ended_by_the_deadline(connect(DEADLINE_S), serve(behave, shake_hands=False))


def test_a_slow_name_lookup_leaves_no_exchange_without_a_deadline(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def look_up_slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(DEADLINE_S + 0.2)
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_slowly)
    assert_ended_by_the_deadline(connect(DEADLINE_S), serve(drip_the_body))


def test_an_exchange_after_one_that_took_too_long_is_its_own(serve: Serve, connect: Connect) -> None:
    def behave(connection: Connection) -> None:
        if connection.server.connections == 1:
            say_nothing(connection)
        while connection.request():
            connection.answer()

    server, transport = serve(behave), connect(DEADLINE_S)
    assert_ended_by_the_deadline(transport, server)
    assert post(transport, server).status == 200


@pytest.mark.parametrize("shake_hands", [True, False], ids=["answer", "handshake"])
def test_abort_from_another_thread_ends_an_exchange_at_once(serve: Serve, connect: Connect, shake_hands: bool) -> None:
    def behave(connection: Connection) -> None:
        if shake_hands:
            connection.request()
        else:
            connection.plain.recv(1)
            connection.server.asked.set()
        connection.server.closing.wait()

    server, transport = serve(behave, shake_hands=shake_hands), connect()
    errors: list[TransportError] = []

    def exchange() -> None:
        with pytest.raises(TransportError) as caught:
            post(transport, server)
        errors.append(caught.value)

    thread = threading.Thread(target=exchange)
    thread.start()
    assert server.asked.wait(WAIT_S)
    started_s = time.monotonic()
    transport.abort()
    thread.join(WAIT_S)
    assert time.monotonic() - started_s < AT_ONCE_S
    assert errors


def assert_ended_by_the_deadline(transport: Transport, server: Server) -> None:
    started_s = time.monotonic()
    with pytest.raises(TransportError, match=r"no whole answer within 0\.5 s|no answer within 0\.5 s") as caught:
        post(transport, server)
    assert DEADLINE_S * 0.9 < time.monotonic() - started_s < AT_ONCE_S
    assert not isinstance(caught.value, UntrustedServerError)
