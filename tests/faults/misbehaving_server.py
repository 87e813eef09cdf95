"""Servers that misbehave as a test says; they keep each request as it was sent."""

import gzip
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ..support.sockets import Connection
from ..support.sockets import Server as Sockets
from ..support.waits import WAIT_S


@dataclass(frozen=True)
class Asked:
    """A request, decoded as far as it is one of this protocol's; ``body`` is as it was sent."""

    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    at_s: float = field(default_factory=time.monotonic)

    @property
    def records(self) -> list[dict[str, Any]]:
        """v3's records, or v2's one."""
        if not self.path.endswith("/records"):
            return [dict(parse_qsl(self.body.decode(), keep_blank_values=True))]
        data = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        records: list[dict[str, Any]] = json.loads(data)["records"]
        return records

    @property
    def pulses(self) -> list[int]:
        """The pours in it, by their pulses."""
        return [int(record["pulses"]) for record in self.records if "pulses" in record]

    @property
    def temperatures(self) -> list[int]:
        """The readings in it, in thousandths; v2's heartbeat is -1."""
        names = ("millidegrees", "temp")
        return [int(record[name]) for record in self.records for name in names if name in record]

    def acknowledgement(self, *rejected: dict[str, Any]) -> bytes:
        """v3's answer that takes all but the ``rejected``; v2 has no use for it."""
        return json.dumps(
            {
                "request": self.headers.get("content-digest"),
                "accepted": len(self.records) - len(rejected),
                "rejected": rejected,
            }
        ).encode()


Raw = Callable[[socket.socket], None]
Full = tuple[int, Sequence[str], bytes]
Answer = Callable[[Asked], "int | Full | Raw"]


class Server:
    """Accepts on a port of this machine and answers every request as ``answer`` says: with a status, with status,
    headers and body, or by doing something to the connection. A 200 alone stores the records and says so."""

    def __init__(self, chain: Path | None, version: str, address: str = "127.0.0.1", host: str = "localhost") -> None:
        self.answer: Answer = lambda _: 200
        self.connections = 0
        self.handshake_faults: list[str] = []
        self.context: ssl.SSLContext | None = None
        if chain is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(chain)
        self._came = threading.Condition()
        self._asked: list[Asked] = []
        self._rows: dict[tuple[object, ...], int] = {}
        self._address = (address, 0)
        self.start()
        self.url = f"{'http' if chain is None else 'https'}://{host}:{self._sockets.port}/rest/{version}"

    @property
    def released(self) -> threading.Event:
        """What a handler waits for that hangs; set at the end."""
        return self._sockets.closing

    def start(self) -> None:
        self._sockets = Sockets(self.context, self._serve, shake_hands=False, address=self._address)
        self._address = (self._address[0], self._sockets.port)

    def stop(self) -> None:
        """Away, with every connection."""
        self._sockets.close()

    def asked(self, pulses: int | None = None) -> list[Asked]:
        """All requests so far, or those with that pour."""
        with self._came:
            return [one for one in self._asked if pulses is None or pulses in one.pulses]

    def wait_for(self, pulses: int | None = None, count: int = 1, timeout_s: float = WAIT_S) -> list[Asked]:
        """The first ``count`` requests, or those with that pour."""
        return self.wait_until(lambda asked: asked if pulses is None else pulses in asked.pulses, count, timeout_s)

    def wait_until(self, fits: Callable[[Asked], object], count: int = 1, timeout_s: float = WAIT_S) -> list[Asked]:
        """The first ``count`` requests that fit."""
        with self._came:
            came = self._came.wait_for(lambda: sum(bool(fits(one)) for one in self._asked) >= count, timeout_s)
            assert came, f"only {len(self._asked)} requests, the last of them {self._asked[-5:]}"
            return [one for one in self._asked if fits(one)][:count]

    def rows(self) -> dict[int, int]:
        """The stored pours by their pulses, and how often each came; the same record is one row."""
        with self._came:
            return {int(str(key[1])): times for key, times in self._rows.items()}

    def store(self, asked: Asked) -> None:
        """Commit the pours."""
        with self._came:
            for record in asked.records:
                if "pulses" in record:
                    times = (record.get("elapsed_ms", record.get("et")), record.get("started_ms", record.get("ts")))
                    key = tuple(str(value) for value in (record["pin"], record["pulses"], *times))
                    self._rows[key] = self._rows.get(key, 0) + 1
            self._came.notify_all()

    def wait_for_rows(self, pulses: Sequence[int], timeout_s: float = WAIT_S) -> None:
        """Until each of these has exactly one row."""
        with self._came:
            wanted = set(pulses)
            came = self._came.wait_for(lambda: wanted <= {int(str(key[1])) for key in self._rows}, timeout_s)
            got = [int(str(key[1])) for key in self._rows]
            assert came, f"not stored: {sorted(wanted - set(got))}"
            assert all(got.count(number) == 1 for number in wanted)

    def _serve(self, connection: Connection) -> None:
        with self._came:
            self.connections += 1
        try:
            connection.shake_hands()
        except OSError as error:
            self.handshake_faults.append(str(error))
            return
        while asked := _read_request(connection):
            self._reply(connection.stream, asked)

    def _reply(self, stream: socket.socket, asked: Asked) -> None:
        with self._came:
            self._asked.append(asked)
            self._came.notify_all()
        answer = self.answer(asked)
        if callable(answer):
            answer(stream)
            return
        if answer == 200:
            self.store(asked)
            answer = (200, ["Content-Type: application/json"], asked.acknowledgement())
        status, headers, body = (answer, [], b"") if isinstance(answer, int) else answer
        lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", *headers]
        stream.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def first(*answers: Any) -> Answer:
    """The first requests with a pour are answered so, all others with 200."""
    left = list(answers)
    return lambda asked: left.pop(0) if left and asked.pulses else 200


def reset(stream: socket.socket) -> None:
    """What a crashed server does to its connections."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def _read_request(connection: Connection) -> Asked | None:
    head, is_whole, body = connection.request().partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    if not is_whole or len(body) < int(headers.get("content-length", "0")):
        return None
    return Asked(first.split(" ")[1], headers, body)


Serve = Callable[..., Server]
