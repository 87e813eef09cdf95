"""A daemon under a watchdog, as systemd has it."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .device import Device
from .program import Program
from .waits import WAIT_S

WATCHDOG_S = 0.5


@contextmanager
def watched(device: Device) -> Iterator[tuple[Program, socket.socket]]:
    """The daemon, which is to say every ``WATCHDOG_S`` that it is alive, and the socket where it does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        address = str(device.root / "notify")
        supervisor.bind(address)
        supervisor.settimeout(WAIT_S)
        program = device.run(
            before=("sh", "-c", 'WATCHDOG_PID=$$ exec "$0" "$@"'),
            variables={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))},
        )
        yield program, supervisor


def wait_until_fed(supervisor: socket.socket, times: int) -> None:
    until_s = time.monotonic() + WAIT_S
    while times:
        times -= supervisor.recv(4096) == b"WATCHDOG=1"
        assert time.monotonic() < until_s, "not fed"
