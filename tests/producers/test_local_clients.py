"""Programs that are connected are told what they read, and none holds up another."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from kegnet_client.core.errors import SourceError
from kegnet_client.producers.local_clients import MAX_UNSENT_BYTES, Client, LocalClients, listen_tcp

from ..support.waits import WAIT_S

MESSAGE = b"x" * 8000 + b"\n\n"


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


@pytest.fixture
def clients(selector: selectors.BaseSelector) -> Iterator[LocalClients]:
    with closing(LocalClients(listen_tcp(0), selector)) as clients:
        yield clients


def connect(clients: LocalClients) -> socket.socket:
    connection = socket.create_connection(clients.address, WAIT_S)
    before = clients.count
    while clients.count == before:
        clients.accept()
    return connection


@pytest.mark.case(108)
def test_one_that_reads_nothing_is_disconnected_and_the_other_is_told_all(clients: LocalClients) -> None:
    with connect(clients) as deaf, connect(clients) as good:
        told = 0
        while clients.count == 2:
            clients.send(MESSAGE)
            told += len(MESSAGE)
            heard = 0
            while heard < len(MESSAGE):
                heard += len(good.recv(len(MESSAGE)))
        assert told > MAX_UNSENT_BYTES
        assert deaf.fileno() >= 0


def test_what_it_cannot_be_told_at_once_it_is_told_later(
    clients: LocalClients, selector: selectors.BaseSelector
) -> None:
    with connect(clients) as slow:
        told = heard = 0
        while not any(isinstance(key.data, Client) and key.data.unsent for key in selector.get_map().values()):
            clients.send(MESSAGE)
            told += len(MESSAGE)
        while heard < told:
            heard += len(slow.recv(65536))
            for key, mask in selector.select(0):
                assert isinstance(key.data, Client)
                assert clients.handle(key.data, mask) == []
        assert clients.count == 1


def test_one_that_goes_is_forgotten(clients: LocalClients, selector: selectors.BaseSelector) -> None:
    connect(clients).close()
    ((key, mask),) = selector.select(WAIT_S)
    assert clients.handle(key.data, mask) == []
    assert clients.count == 0
    clients.send(MESSAGE)


def test_a_port_that_is_taken_is_told(clients: LocalClients) -> None:
    with pytest.raises(SourceError, match="is Kegbot's core running"):
        listen_tcp(clients.address[1])
