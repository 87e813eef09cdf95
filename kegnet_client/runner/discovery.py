"""Discovery by UDP broadcast: a device says who it is to whoever asks, and hears of its server by an announcement.

An answer holds no credential. It goes to the asker alone, and only so many go in a second. Nothing that a packet holds
is trusted but what an operator has signed; one that is not good is left, whatever is in it.
"""

import contextlib
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kegnet_client.runner.text import printable

PORT = 53000
BROADCAST = "255.255.255.255"
MAX_PACKET_BYTES = 16 * 1024
ANSWERS_A_SECOND = 20.0
QUESTION: Mapping[str, Any] = {"question": "kegnet"}
MAX_DEVICES = 10_000
RETRY_S = 10.0

_log = logging.getLogger(__name__)


class Responder:
    """Answers with ``identity``, and gives announcements to ``take``."""

    def __init__(
        self, identity: Mapping[str, Any], take: Callable[[Mapping[str, Any]], None], port: int = PORT
    ) -> None:
        self._answer = json.dumps(identity).encode()
        self._take = take
        self._port = port
        self._tokens = ANSWERS_A_SECOND
        self._at_s = time.monotonic()

    def run(self) -> None:
        """For ever; a thread's outermost frame."""
        problem = ""
        while True:
            try:
                with _open_socket() as one:
                    one.bind(("", self._port))
                    problem = ""
                    while True:
                        self._serve(one)
            except OSError as error:
                if str(error) != problem:
                    problem = str(error)
                    _log.warning("nobody is answered on UDP port %d: %s; it is tried again", self._port, problem)
            time.sleep(RETRY_S)

    def _serve(self, one: socket.socket) -> None:
        data, asker = one.recvfrom(MAX_PACKET_BYTES + 1)
        packet = read_packet(data)
        if packet is None or not self._may_go_on():
            return
        # A network that is away is no reason to listen no more.
        with contextlib.suppress(OSError):
            one.sendto(self._answer, asker)
        if "signature" in packet:
            self._take(packet)

    def _may_go_on(self) -> bool:
        now_s = time.monotonic()
        self._tokens = min(self._tokens + (now_s - self._at_s) * ANSWERS_A_SECOND, ANSWERS_A_SECOND)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def find_devices(
    packet: Mapping[str, Any], address: str, silence_s: float, port: int = PORT
) -> Iterator[dict[str, str]]:
    """Send ``packet`` to all at ``address``; what answers, until nothing has for so long. Raises `OSError`."""
    seen = set[tuple[str, ...]]()
    with _open_socket() as one:
        one.sendto(json.dumps(packet).encode(), (address, port))
        until_s = time.monotonic() + silence_s
        while len(seen) < MAX_DEVICES and (left_s := until_s - time.monotonic()) > 0:
            one.settimeout(left_s)
            try:
                data, (host, *_) = one.recvfrom(MAX_PACKET_BYTES + 1)
            except TimeoutError:
                return
            answer = read_packet(data)
            if answer is None or "MacID" not in answer:
                continue
            names = {"mac_id": "MacID", "uuid": "uuid", "fingerprint": "fingerprint"}
            device = {"address": host} | {ours: printable(answer.get(name) or "-") for ours, name in names.items()}
            if tuple(device.values()) not in seen:
                seen.add(tuple(device.values()))
                until_s = time.monotonic() + silence_s
                yield device


def read_packet(data: bytes) -> dict[str, Any] | None:
    """The object that ``data`` holds; None for all else."""
    if len(data) > MAX_PACKET_BYTES:
        return None
    try:
        packet = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return packet if isinstance(packet, dict) else None


def _open_socket() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return one
