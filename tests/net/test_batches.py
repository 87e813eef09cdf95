"""REST v3 over real TLS: what the server gets is what was signed, and what it says is about all or about each."""

import base64
import gzip
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from kegnet_client.core.records import Pour, Record
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire.base_url import parse_base_url
from kegnet_client.keys import Identity
from kegnet_client.sinks.kegnet_batch import KegnetBatch

from ..support.authority import Authority
from ..support.sockets import Connection, Serve, Server
from .exchange import Connect

DEVICE = "0a1b2c3d-0000-4000-8000-000000000001"
WALL_MS = 1_800_000_000_000
KEY = ed25519.Ed25519PrivateKey.generate()


def pours(number: int) -> list[Record]:
    return [Pour(0, pulses, 1000, WALL_MS + pulses) for pulses in range(1, number + 1)]


def sink(server: Server, connect: Connect, prefix: str = "") -> KegnetBatch:
    base = parse_base_url(f"https://localhost:{server.port}{prefix}/rest/v3")
    return KegnetBatch(Identity(DEVICE, KEY), base, connect(), lambda: WALL_MS)


def take_apart(request: bytes) -> tuple[str, dict[str, str], bytes]:
    """The request line, the headers by their names in lower case, and the content."""
    head, _, content = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    return first, {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, content


def acknowledge(connection: Connection) -> None:
    """A server that takes what it can read."""
    while request := connection.request():
        _, headers, content = take_apart(request)
        packed = headers.get("content-encoding") == "gzip"
        size = len(json.loads(gzip.decompress(content) if packed else content)["records"])
        body = json.dumps({"request": headers["content-digest"], "accepted": size, "rejected": []}).encode()
        connection.answer("Content-Type: application/json", body=body)


@pytest.mark.parametrize("number", [1, 500])
def test_the_server_gets_what_was_signed(serve: Serve, connect: Connect, number: int) -> None:
    server = serve(acknowledge)
    verdicts = sink(server, connect, "/schänke").send(pours(number))

    assert [verdict.disposition for verdict in verdicts] == [Disposition.ACCEPTED] * number
    line, headers, content = take_apart(server.received[0])
    assert line == "POST /sch%C3%A4nke/rest/v3/records HTTP/1.1"
    assert headers["content-length"] == str(len(content))
    assert headers["content-digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
    parameters = headers["signature-input"].removeprefix("kegnet=")
    names = parameters[1 : parameters.index(")")].replace('"', "").split(" ")
    values = {**headers, "@method": "POST", "@path": "/sch%C3%A4nke/rest/v3/records"}
    base = "\n".join([*(f'"{name}": {values[name]}' for name in names), f'"@signature-params": {parameters}'])
    signature = base64.b64decode(headers["signature"].removeprefix("kegnet=:").removesuffix(":"))
    KEY.public_key().verify(signature, base.encode())


def test_one_connection_carries_one_request_after_the_other(serve: Serve, connect: Connect) -> None:
    server = serve(acknowledge)
    one = sink(server, connect)
    for number in (1, 500, 2):
        assert {verdict.disposition for verdict in one.send(pours(number))} == {Disposition.ACCEPTED}

    assert (len(server.received), server.connections) == (3, 1)
    assert [("content-encoding" in take_apart(request)[1]) for request in server.received] == [False, True, False]


def test_a_connection_that_breaks_before_the_verdicts_leaves_every_record(serve: Serve, connect: Connect) -> None:
    def break_off(connection: Connection) -> None:
        connection.request()
        connection.stream.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n"
            b'{"accepted":3,"rejected":[]}'
        )
        connection.reset()

    verdicts = sink(serve(break_off), connect).send(pours(3))

    assert [(verdict.disposition, verdict.code) for verdict in verdicts] == [(Disposition.DEFERRED, None)] * 3


def test_a_server_that_does_not_prove_itself_sees_no_request(
    serve: Serve, connect: Connect, other_authority: Authority
) -> None:
    server = serve(acknowledge, chain=other_authority.issue())
    verdicts = sink(server, connect).send(pours(3))

    assert [verdict.disposition for verdict in verdicts] == [Disposition.MISCONFIGURED] * 3
    assert server.received == []
