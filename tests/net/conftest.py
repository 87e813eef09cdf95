"""Servers and transports for the tests of the wire; the certificates, good and bad, are made on the spot."""

import ssl
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kegnet_client.net.client import Transport
from kegnet_client.net.tls import client_context

from ..support.authority import Authority
from ..support.sockets import Behaviour, Serve, Server, answer_all
from ..support.waits import WAIT_S
from .exchange import Connect


@pytest.fixture
def serve(chain: Path) -> Iterator[Serve]:
    """``serve(behave, chain=..., tls=..., shake_hands=...)``: a server, TLS with a good certificate unless told."""
    servers: list[Server] = []

    def start(
        behave: Behaviour = answer_all,
        *,
        chain: Path = chain,
        tls: ssl.TLSVersion | None = None,
        shake_hands: bool = True,
        plain: bool = False,
    ) -> Server:
        context = None
        if not plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain)
            if tls is not None:
                context.set_ciphers("DEFAULT:@SECLEVEL=0")
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    context.minimum_version = context.maximum_version = tls
        servers.append(Server(context, behave, shake_hands=shake_hands))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def connect(authority: Authority) -> Iterator[Connect]:
    """``connect(deadline_s)``: a transport that trusts our CA alone, or without TLS where it is ``plain``."""
    transports: list[Transport] = []

    def make(deadline_s: float = WAIT_S, wall_ms: Callable[[], int] = lambda: 0, *, plain: bool = False) -> Transport:
        transports.append(Transport(None if plain else client_context(authority.bundle), deadline_s, wall_ms))
        return transports[-1]

    yield make
    for transport in transports:
        transport.close()
