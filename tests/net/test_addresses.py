"""A server's name with several addresses, of which the first ones are dead: it takes no connection, nor refuses one."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.core.errors import TransportError

from ..support.sockets import Serve
from ..support.waits import WAIT_S, wait_until
from .exchange import AT_ONCE_S, Connect

FORM = "application/x-www-form-urlencoded"
DEADLINE_S = 2.0

Resolve = Callable[..., None]


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address that swallows what is sent to it, as a route does that leads nowhere: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """``resolve(one, another)``: every name has these addresses, in this order."""

    def to(*addresses: tuple[str, int]) -> None:
        def look_up(*_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    return to


@pytest.mark.parametrize("dead", [1, 2])
def test_an_address_that_swallows_everything_leaves_time_for_the_one_that_answers(
    serve: Serve, connect: Connect, resolve: Resolve, silent: tuple[str, int], dead: int
) -> None:
    server = serve()
    resolve(*[silent] * dead, ("127.0.0.1", server.port))

    transport = connect(DEADLINE_S)

    assert transport.post(server.url, FORM, b"id=1").status == 200
    assert transport.post(server.url, FORM, b"id=2").status == 200
    assert server.connections == 1


def test_dead_addresses_together_take_no_longer_than_one_deadline(
    serve: Serve, connect: Connect, resolve: Resolve, silent: tuple[str, int]
) -> None:
    server = serve()
    resolve(*[silent] * 4)
    transport = connect(DEADLINE_S)

    started_s = time.monotonic()
    with pytest.raises(TransportError, match=r"no .*answer within 2 s"):
        transport.post(server.url, FORM, b"id=1")

    assert time.monotonic() - started_s < 2 * DEADLINE_S


def test_to_shake_hands_takes_no_longer_where_the_first_addresses_are_dead(
    serve: Serve, connect: Connect, resolve: Resolve, silent: tuple[str, int]
) -> None:
    server, transport = serve(), connect(DEADLINE_S)
    resolve(*[silent] * 4, ("127.0.0.1", server.port))

    started_s = time.monotonic()
    assert transport.shake_hands(server.url).version() == "TLSv1.3"

    assert time.monotonic() - started_s < DEADLINE_S
    assert server.received == []


def test_to_shake_hands_with_none_says_so_in_time_and_leaves_no_connection(
    serve: Serve, connect: Connect, resolve: Resolve, silent: tuple[str, int]
) -> None:
    server, transport = serve(), connect(DEADLINE_S)
    resolve(silent)
    with pytest.raises(TransportError, match=r"no .*answer within 2 s"):
        transport.shake_hands(server.url)
    resolve(("127.0.0.1", server.port))
    assert transport.post(server.url, FORM, b"id=1").status == 200


@pytest.mark.parametrize("addresses", [1, 3])
def test_abort_ends_a_connection_that_is_not_made_yet_at_once(
    serve: Serve, connect: Connect, resolve: Resolve, silent: tuple[str, int], addresses: int
) -> None:
    server, transport = serve(), connect(WAIT_S)
    resolve(*[silent] * addresses)
    errors: list[TransportError] = []

    def exchange() -> None:
        with pytest.raises(TransportError) as caught:
            transport.post(server.url, FORM, b"id=1")
        errors.append(caught.value)

    thread, before = threading.Thread(target=exchange), count_connecting(silent)
    thread.start()
    wait_until(lambda: count_connecting(silent) > before, "it does not connect")
    started_s = time.monotonic()
    transport.abort()
    thread.join(WAIT_S)
    assert time.monotonic() - started_s < AT_ONCE_S
    assert errors


def count_connecting(address: tuple[str, int]) -> int:
    """How many sockets have asked ``address`` for a connection and got no answer yet."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(remote.endswith(f":{address[1]:04X}") and state == "02" for _, _, remote, state, *_ in lines)
