"""A KegNet server for REST v2 and v3 that does what it is told: takes, refuses, hangs, loses its answer, goes away.

It trusts a record only with its signature and stores it once, by what identifies it, as a real one does.
``rows`` outlive a restart.
"""

import base64
import gzip
import hashlib
import http.server
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from authority import Authority

STATUSES = (302, 400, 401, 404, 413, 429, 500, 503)
LIES = ("portal", "another's", "contradiction", "rejected twice", "error beside")
"""Answers of 200 to requests of which nothing was taken. REST v2 has no way to tell, so towards it there are none."""
MODES = (
    "accept",
    *map(str, STATUSES),
    "hang",
    "lose",
    "reset",
    "interim",
    "interim apart",
    "left over",
    "left over apart",
    *LIES,
)
HOLD = "hold"
"""Takes what it is sent, and answers when it is let go."""
PIECE_BYTES = 8192
"""What http.client reads at once: an answer of just this size leaves no byte of the next one in its buffer."""
POISON = 13
"""A pour of a multiple of so many pulses is one that this server never takes."""

FORMS = {"pour": ("id", "pin", "pulses", "et", "ts"), "ping": ("id", "temp", "ts")}
CANONICAL = {
    "pour": ("pin", "pulses", "elapsed_ms", "started_ms"),
    "reading": ("sensor", "millidegrees", "taken_ms"),
    "heartbeat": ("at_ms",),
}


class RefusedError(Exception):
    """The request cannot be trusted, or read: answer ``status``."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Server:
    """``mode`` is one of `MODES`, or what ``choose`` says for each request anew where there is one."""

    def __init__(self, authority: Authority) -> None:
        self.rows: dict[str, int] = {}
        """How often each record was received, by the string that identifies it."""
        self.refused: set[str] = set()
        self.stored_s: dict[str, float] = {}
        """The wall clock's time at which each record was first stored."""
        self.mode = "accept"
        self.choose: Callable[[], str] | None = None
        self.on_request: Callable[[], None] = lambda: None
        self.requests = 0
        self.lock = threading.Lock()
        self._context = authority.context()
        self._key = authority.device_key
        self._released = threading.Event()
        self._open: set[socket.socket] = set()
        self._http: http.server.ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    def url(self, version: str, port: int = 0) -> str:
        return f"https://localhost:{port or self.port}/rest/{version}"

    def turn(self, mode: str) -> None:
        """Behave so from now on; whoever hangs is let go."""
        self.mode, self.choose = mode, None
        self.release()

    def release(self) -> None:
        self._released.set()
        self._released = threading.Event()

    def start(self) -> None:
        if self._http is not None:
            return
        self._http = _Listener(("127.0.0.1", self.port), self._handler())
        self._http.socket = self._context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Away, with every connection; what is stored stays."""
        if self._http is None:
            return
        self._http.shutdown()
        self._thread.join()
        self.release()
        for connection in list(self._open):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self._http.server_close()
        self._http = None

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Store what the request carries; the answer to it."""
        call = path.rpartition("/")[2]
        if call in FORMS:
            identity, poisoned = self._read_form(call, body)
            if poisoned:
                with self.lock:
                    self.refused.add(identity)
                return 400, b"this is never taken"
            self._store([identity])
            return 200, b"stored"
        if call == "records":
            return 200, json.dumps(self._take_batch(path, headers, body)).encode()
        raise RefusedError(404, "no such call")

    def _take_batch(self, path: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        content = self._verified(path, headers, body)
        good, rejected = [], []
        for index, record in enumerate(content["records"]):
            identity = _identify(content["device"], record)
            expected_id = hashlib.sha256(identity.encode()).digest()[:16].hex()
            if record["id"] != expected_id or record.get("pulses", 1) % POISON == 0:
                reason = "never taken" if record["id"] == expected_id else "a wrong id"
                rejected.append({"index": index, "id": record["id"], "reason": reason})
                self.refused.add(identity)
            else:
                good.append(identity if record["type"] != "heartbeat" else "")
        self._store(good)
        return {"request": headers["content-digest"], "accepted": len(good), "rejected": rejected}

    def _verified(self, path: str, headers: dict[str, str], body: bytes) -> Any:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        if headers.get("content-digest") != f"sha-256=:{digest}:":
            raise RefusedError(401, "the digest is another")
        parameters = headers.get("signature-input", "").removeprefix("kegnet=")
        names = re.findall(r'"([^"]+)"', parameters.partition(")")[0])
        values = {"@method": "POST", "@path": path, **headers}
        lines = [f'"{name}": {values.get(name, "")}' for name in names]
        base = "\n".join([*lines, f'"@signature-params": {parameters}']).encode()
        signature = headers.get("signature", "").removeprefix("kegnet=:").removesuffix(":")
        self._verify(base64.b64decode(signature), base)
        return json.loads(_unpacked(headers, body))

    def _read_form(self, call: str, body: bytes) -> tuple[str, bool]:
        values = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True))
        identity = ",".join(values[name] for name in FORMS[call])
        self._verify(base64.b64decode(values["sig"]), identity.encode())
        poisoned = call == "pour" and int(values["pulses"]) % POISON == 0
        return ("" if values.get("temp") == "-1" else identity), poisoned

    def _verify(self, signature: bytes, data: bytes) -> None:
        try:
            self._key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise RefusedError(401, "the signature is not this device's") from None

    def _store(self, identities: list[str]) -> None:
        now_s = time.time()
        with self.lock:
            for identity in filter(None, identities):
                self.rows[identity] = self.rows.get(identity, 0) + 1
                self.stored_s.setdefault(identity, now_s)

    def _refuse(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Note to whom a 400 or 413 was said: where one record is a request, it is that record's."""
        call = path.rpartition("/")[2]
        if call in FORMS:
            identities = [self._read_form(call, body)[0]]
        else:
            content = self._verified(path, headers, body)
            identities = [_identify(content["device"], record) for record in content["records"]]
        if len(identities) == 1:
            with self.lock:
                self.refused.update(identities)

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60
            wbufsize = -1  # an answer in one piece: in two it waits for the client's delayed acknowledgement

            def setup(self) -> None:
                server._open.add(self.request)
                super().setup()

            def finish(self) -> None:
                with suppress(OSError):
                    super().finish()
                server._open.discard(self.request)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with server.lock:
                    server.requests += 1
                    mode = server.choose() if server.choose else server.mode
                server.on_request()
                try:
                    self._behave(mode, body)
                except RefusedError as error:
                    self._answer(error.status, str(error).encode())

            def _behave(self, mode: str, body: bytes) -> None:
                if mode in ("hang", "reset"):
                    if mode == "hang":
                        server._released.wait(30)
                    self._reset()
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                is_batch = self.path.endswith("/records")
                if mode in LIES and is_batch:
                    self._answer(200, _lie(mode, headers, body))
                    return
                if mode.isdecimal():
                    if mode == "413" or (mode == "400" and not is_batch):
                        server._refuse(self.path, headers, body)
                    self._answer(int(mode), b"as told")
                    return
                status, answer = server.take(self.path, headers, body)
                if mode == HOLD:
                    server._released.wait(5)
                if mode.startswith("interim"):
                    self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")
                    self.send_response_only(102)
                    self.end_headers()
                    if mode == "interim apart":
                        self.wfile.flush()
                if mode == "lose":
                    self._reset()
                elif mode == "left over":
                    self._answer_twice(status, answer)
                elif mode == "left over apart":
                    # In two TLS records, but on the way together: one that comes when the next request is out already
                    # is, to REST v2, the answer to that.
                    self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                    self._answer(status, answer)
                    self.wfile.flush()
                    self._answer(status, answer)
                    self.wfile.flush()
                    self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
                else:
                    self._answer(status, answer)

            def _answer_twice(self, status: int, body: bytes) -> None:
                """The answer, and one more for a request that has not come, in one TLS record; half of the time the
                first one has just `PIECE_BYTES`."""
                kind = "application/json" if body[:1] == b"{" else "text/plain"
                head = f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n".encode()
                padding = PIECE_BYTES - len(head) - len(b"X-Padding: \r\n\r\n") - len(body)
                if server.requests % 2 and padding > 0:
                    first = head + b"X-Padding: " + b"x" * padding + b"\r\n\r\n" + body
                else:
                    first = head + b"\r\n" + body
                self.request.sendall(first + head + b"\r\n" + body)

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if body[:1] == b"{" else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                if status in (429, 503):
                    self.send_header("Retry-After", "1")
                if status == 302:
                    self.send_header("Location", "https://localhost:1/login")
                self.end_headers()
                self.wfile.write(body)

            def _reset(self) -> None:
                self.close_connection = True
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with suppress(OSError):
                    socket.socket.shutdown(self.request, socket.SHUT_RDWR)

            def log_message(self, *_: object) -> None:
                """Nothing: what matters is in the rows."""

        return Handler


def _unpacked(headers: dict[str, str], body: bytes) -> bytes:
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def _lie(mode: str, headers: dict[str, str], body: bytes) -> bytes:
    digest = headers["content-digest"]
    size = len(json.loads(_unpacked(headers, body))["records"])
    if mode == "another's":
        other = base64.b64encode(hashlib.sha256(body + b"!").digest()).decode()
        return json.dumps({"request": f"sha-256=:{other}:", "accepted": size, "rejected": []}).encode()
    if mode == "contradiction":
        one = f'{{"request": "{digest}", "accepted": 0, "accepted": {size}, "rejected": []}}'
        other = f'{{"request": "{digest}", "accepted": {size}, "rejected": {{}}}}'
        return (one if len(body) % 2 else other).encode()
    if mode == "rejected twice":
        one = '{"index": 0, "reason": "never taken"}'
        return f'{{"request": "{digest}", "accepted": {size}, "rejected": [{one}], "rejected": []}}'.encode()
    if mode == "error beside":
        return json.dumps({"request": digest, "accepted": size, "rejected": [], "error": "no database"}).encode()
    return b'{"accepted": 0, "rejected": []}' if len(body) % 2 else b"<html>Welcome!"


def _identify(device: str, record: dict[str, Any]) -> str:
    return ",".join(map(str, (device, *(record[name] for name in CANONICAL[record["type"]]))))


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Nothing: clients that are killed, and connections that are cut, are what this is for."""
