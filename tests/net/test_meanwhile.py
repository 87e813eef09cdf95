"""What there is to do while the server makes its answer."""

import errno
import os
import threading
import time

import pytest

from kegnet_client.core.errors import TransportError

from ..support.sockets import Connection, Serve
from ..support.waits import WAIT_S
from .exchange import AT_ONCE_S, DEADLINE_S, FORM, Connect, post


def test_it_is_done_between_the_request_and_its_answer(serve: Serve, connect: Connect) -> None:
    asked, done = threading.Event(), threading.Event()

    def answer_when_it_is_done(connection: Connection) -> None:
        connection.request()
        connection.answer()  # the connection is there from now on
        connection.request()
        asked.set()
        assert done.wait(WAIT_S)
        connection.answer(body=b"second")

    def do_it() -> None:
        assert asked.wait(WAIT_S)
        done.set()

    server, transport = serve(answer_when_it_is_done), connect()
    post(transport, server)

    assert transport.post(server.url, FORM, b"id=1", meanwhile=do_it).body == b"second"


def test_it_does_not_wait_for_a_new_connection(serve: Serve, connect: Connect) -> None:
    server, transport = serve(shake_hands=False), connect()
    started_s = time.monotonic()
    with pytest.raises(TransportError):
        transport.post(server.url, FORM, b"id=1", meanwhile=transport.abort)

    assert time.monotonic() - started_s < AT_ONCE_S, "it waited for hands to be shaken first"


def test_the_time_that_it_takes_is_not_the_servers(serve: Serve, connect: Connect) -> None:
    server, transport = serve(), connect(DEADLINE_S)
    post(transport, server)

    slow = threading.Event()
    assert transport.post(server.url, FORM, b"id=1", meanwhile=lambda: slow.wait(DEADLINE_S * 1.5)).status == 200


def test_the_answer_has_to_come_in_time_all_the_same(serve: Serve, connect: Connect) -> None:
    def answer_once_and_then_drip(connection: Connection) -> None:
        connection.request()
        connection.answer()
        connection.request()
        connection.drip(b"HTTP/1.1 200 " + b"O" * 1000)

    server, transport = serve(answer_once_and_then_drip), connect(DEADLINE_S)
    post(transport, server)
    with pytest.raises(TransportError, match=r"no whole answer within 0\.5 s"):
        transport.post(server.url, FORM, b"id=1", meanwhile=lambda: None)


def test_a_fault_in_it_does_not_pass_for_one_of_the_server(serve: Serve, connect: Connect) -> None:
    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    server, transport = serve(), connect()
    with pytest.raises(RuntimeError, match="Input/output error"):
        transport.post(server.url, FORM, b"id=1", meanwhile=fail)
    assert post(transport, server).status == 200
