"""A daemon that runs, and the waits of its tests."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.process.conftest import Call, Device, Program, Server

WAIT_S = 20.0
STOPS_WITHIN_S = 2.0
UP = "delivers from"

Serve = Callable[[ssl.SSLContext], "Server"]


def start(device: "Device", notify_socket: Path | None = None) -> "Program":
    """A daemon that has said that it is up."""
    program = device.start(variables={} if notify_socket is None else {"NOTIFY_SOCKET": str(notify_socket)})
    program.log.wait_for(UP)
    return program


def wait_until(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until_s, what
        time.sleep(0.01)


def hang(server: "Server") -> None:
    """Let the server take pours and answer none."""

    def answer(call: "Call") -> int:
        if call.path.endswith("pour"):
            server.released.wait()
        return 200

    server.answer = answer
