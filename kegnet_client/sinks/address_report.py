"""The address that this device has on the way to its server, and when that is to be told: REST v2 has a call for it.

It is the address from which the server is reached, not what the host's name stands for: on Debian that is 127.0.1.1.
"""

import socket
import threading
from collections.abc import Callable

from kegnet_client.host.clock import Clock

INTERVAL_S = 3600.0
LOOK_S = 60.0
"""So often it is looked whether the address is another."""


def find_address(host: str, port: int) -> str | None:
    """The IPv4 address from which ``host`` is reached; None where there is none, or it is this very machine."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((host, port))  # which sends nothing
            address: str = asking.getsockname()[0]
    except OSError:
        return None
    return None if address.startswith("127.") else address


class AddressReport:
    """Shared by all connections to one server, from any thread; ``find`` says what the address is."""

    def __init__(self, find: Callable[[], str | None], clock: Clock) -> None:
        self._find = find
        self._clock = clock
        self._lock = threading.Lock()
        self._look_at_s = clock.monotonic_s()
        self._told: str | None = None
        self._due_s = clock.monotonic_s()

    def take(self) -> str | None:
        """The address, if it is to be told now: once an hour, and within a minute when it is another."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            if now_s < self._look_at_s:
                return None
            self._look_at_s = now_s + LOOK_S
            address = self._find()
            if address is None or (address == self._told and now_s < self._due_s):
                return None
            self._told, self._due_s = address, now_s + INTERVAL_S
            return address

    def fail(self) -> None:
        """It could not be told, and is to be told again at the next look."""
        with self._lock:
            self._told = None
