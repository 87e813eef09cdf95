"""A server that trusts everything: it counts the pours that arrive and notes when, so that it is cheap.

It is the end of the line for every contestant. It takes any POST, answers 200 and verifies nothing. A body on
``/rest/v3/`` is opened, since its answer has to say how many records were in it.

A port is printed as JSON; then commands come on stdin, one a line, each answered by one line of JSON:

=========== ==========================================================================================
reset       forget what was counted
wait N      true once N pours have arrived, false after half a second without
mark N      from now on note when each pour of N pulses or more arrives
report      what was counted; times are of CLOCK_MONOTONIC, in nanoseconds
=========== ==========================================================================================

The end of stdin is the end of the process. Threads, not asyncio: TLS in C costs a third of what it costs there.
"""

import gzip
import json
import re
import socket
import ssl
import sys
import threading
import time
from typing import Any

WAIT_S = 0.5

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
_GZIP = re.compile(rb"\r\ncontent-encoding: *gzip", re.I)
_DIGEST = re.compile(rb"\r\ncontent-digest: *([^\r]+)", re.I)
_PULSES = re.compile(rb"pulses=(\d+)")
_EMPTY_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_JSON_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Tally:
    """What arrived; connections' threads add to it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.open = 0
        self.mark: int | None = None
        self.reset()

    def reset(self) -> None:
        self.pours = 0
        self.requests: list[tuple[int, int]] = []
        self.marked: dict[int, int] = {}
        self.most_open = self.open
        self.connections = self.open
        self.cpu_at_reset_s = time.process_time()
        self.reset_at_s = time.monotonic()

    def add(self, pulses: list[int], at_ns: int) -> None:
        with self.changed:
            self.pours += len(pulses)
            self.requests.append((at_ns, len(pulses)))
            if self.mark is not None:
                self.marked |= {one: at_ns for one in pulses if one >= self.mark}
            self.changed.notify_all()

    def connected(self, change: int) -> None:
        with self.changed:
            self.open += change
            self.connections += max(0, change)
            self.most_open = max(self.most_open, self.open)

    def wait(self, pours: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.pours >= pours, WAIT_S)

    def report(self) -> dict[str, Any]:
        with self.changed:
            elapsed_s = time.monotonic() - self.reset_at_s
            return {
                "pours": self.pours,
                "requests": self.requests,
                "marked": self.marked,
                "connections": self.connections,
                "most_open": self.most_open,
                "cpu_share": (time.process_time() - self.cpu_at_reset_s) / elapsed_s,
            }


def serve(plain: socket.socket, context: ssl.SSLContext, tally: Tally) -> None:
    """One connection, to its end."""
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        with context.wrap_socket(plain, server_side=True) as connection:
            tally.connected(+1)
            try:
                exchange(connection, tally)
            finally:
                tally.connected(-1)
    except OSError:
        return  # a client that went away, as each one does at its end


def exchange(connection: ssl.SSLSocket, tally: Tally) -> None:
    """Requests and answers until the client has no more."""
    received = b""
    while True:
        while (end := received.find(b"\r\n\r\n")) < 0:
            if not (data := connection.recv(65536)):
                return
            received += data
        head = received[:end]
        length = _LENGTH.search(head)
        total = end + 4 + (int(length[1]) if length else 0)
        while len(received) < total:
            if not (data := connection.recv(65536)):
                return
            received += data
        body, received = received[end + 4 : total], received[total:]
        at_ns = time.monotonic_ns()
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/rest/v3/"):
            digest = _DIGEST.search(head)
            content = gzip.decompress(body) if _GZIP.search(head) else body
            answer = take_batch(content, digest[1].decode() if digest else "", at_ns, tally)
        else:
            if path.endswith(b"/pour"):
                pulses = _PULSES.search(body)
                tally.add([int(pulses[1]) if pulses else 0], at_ns)
            answer = _EMPTY_OK
        connection.sendall(answer)


def take_batch(content: bytes, digest: str, at_ns: int, tally: Tally) -> bytes:
    """Count the batch's pours; the answer to the request with this ``digest``."""
    records = json.loads(content)["records"]
    if pulses := [record["pulses"] for record in records if record["type"] == "pour"]:
        tally.add(pulses, at_ns)
    verdicts = json.dumps({"request": digest, "accepted": len(records), "rejected": []}).encode()
    return _JSON_OK % (len(verdicts), verdicts)


def accept(listener: socket.socket, context: ssl.SSLContext, tally: Tally) -> None:
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=serve, args=(plain, context, tally), daemon=True).start()


def main(chain: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    tally = Tally()
    threading.Thread(target=accept, args=(listener, context, tally), daemon=True).start()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    for line in sys.stdin:
        answer: object = None
        match line.split():
            case ["reset"]:
                with tally.changed:
                    tally.reset()
            case ["wait", pours]:
                answer = tally.wait(int(pours))
            case ["mark", pulses]:
                tally.mark = int(pulses)
            case ["report"]:
                answer = tally.report()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
