"""One exchange with a server of this machine, as the tests of the transport make it; how long it may take."""

from collections.abc import Callable
from pathlib import Path

from kegnet_client.core.wire.answer import Answer
from kegnet_client.net.client import Transport

from ..support.authority import Authority
from ..support.sockets import Server

FORM = "application/x-www-form-urlencoded"
DEADLINE_S = 0.5
AT_ONCE_S = 2.0
"""What counts as in time where a deadline or an abort should end it."""
NOW_MS = 1_800_000_000_000

Connect = Callable[..., Transport]


def post(transport: Transport, server: Server, body: bytes = b"id=1") -> Answer:
    return transport.post(server.url, FORM, body)


def header(request: bytes, name: str) -> list[str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    pairs = (line.split(": ", 1) for line in lines)
    return [value for key, value in pairs if key.lower() == name.lower()]


def expired(authority: Authority) -> Path:
    return authority.issue(days=-500)
