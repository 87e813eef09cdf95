"""Every sink, and servers for them: a new sink joins `SINKS` by one line."""

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kegnet_client.core.wire.base_url import parse_base_url
from kegnet_client.host.clock import Clock
from kegnet_client.keys import parse_identity
from kegnet_client.sinks.base import Sink
from kegnet_client.sinks.kegnet_section import KegNetSettings
from kegnet_client.sinks.open import connect

from ..net.server import Behaviour, Connection, Server
from ..support.authority import Authority

DEVICE = "0a1b2c3d-0000-4000-8000-000000000001"


def _accept_form(connection: Connection) -> None:
    while connection.request():
        connection.answer()


def _reject_second_form(connection: Connection) -> None:
    while connection.request():
        is_second = len(connection.server.received) == 2
        connection.answer(
            status="400 Bad Request" if is_second else "200 OK", body=b"no such pin" if is_second else b""
        )


def _accept_batch(connection: Connection) -> None:
    while request := connection.request():
        _answer_batch(connection, request, [])


def _reject_second_of_batch(connection: Connection) -> None:
    while request := connection.request():
        _answer_batch(connection, request, [{"index": 1, "reason": "no such pin"}])


def _answer_batch(connection: Connection, request: bytes, rejected: list[dict[str, object]]) -> None:
    head, _, content = request.partition(b"\r\n\r\n")
    lines = (line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    headers = {name.lower().decode(): value.decode() for name, value in lines}
    accepted = len(json.loads(content)["records"]) - len(rejected)
    body = {"request": headers["content-digest"], "accepted": accepted, "rejected": rejected}
    connection.answer("Content-Type: application/json", body=json.dumps(body).encode())


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sink: the end of its address, and servers that accept all of its records, or reject the second one."""

    path: str
    accept: Behaviour
    reject_second: Behaviour


SINKS = {
    "REST v1": Kind("/rest/v1", _accept_form, _reject_second_form),
    "REST v2": Kind("/rest/v2", _accept_form, _reject_second_form),
    "REST v3": Kind("/rest/v3", _accept_batch, _reject_second_of_batch),
}

Open = Callable[..., Sink]
Start = Callable[[Behaviour], Server]


@pytest.fixture(params=list(SINKS.values()), ids=list(SINKS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of sink in turn."""
    found: Kind = request.param
    return found


@pytest.fixture
def start(chain: Path) -> Iterator[Start]:
    """``start(behave)`` is a server with a good certificate."""
    servers: list[Server] = []

    def serve(behave: Behaviour) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        servers.append(Server(context, behave, shake_hands=True))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def open_sink(kind: Kind, authority: Authority, key_pem: bytes, tmp_path: Path) -> Iterator[Open]:
    """``open_sink(port)`` is a sink to a server there that is to prove itself to ``ca``, our CA unless told."""
    opened: list[Sink] = []

    def make(port: int, ca: Path = authority.bundle) -> Sink:
        base = parse_base_url(f"https://localhost:{port}{kind.path}")
        settings = KegNetSettings(DEVICE, base, tmp_path / "privkey.pem", ca, 600, 20)
        opened.append(connect(settings, Clock(), parse_identity(DEVICE, key_pem, base.version, tmp_path))())
        return opened[-1]

    yield make
    for sink in opened:
        sink.close()
