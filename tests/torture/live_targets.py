"""What is fuzzed where bytes arrive for real: the client's transport at a socket, the hub's application.

These are slower than the functions below them, so they get fewer inputs.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric import ed25519

from bench import ONE_MS
from kegnet_client.core.errors import TransportError
from kegnet_client.hub.app import create_app
from kegnet_client.hub.home import Home
from kegnet_client.hub.serve import utc_now
from kegnet_client.hub.store.records import Store
from kegnet_client.net.client import MAX_BODY_BYTES, Transport
from targets import (
    ANSWER_TOKENS,
    BATCH_TOKENS,
    BATCHES,
    EMPTY_DIGEST,
    FORM_TOKENS,
    FORMS,
    FULL,
    SIGNATURE_INPUT,
    SIGNED_TOKENS,
    UUID,
    Feed,
    Target,
    expect,
    split,
)

DEADLINE_S = 2.0
REQUEST_END = b"\r\n\r\n.\r\n"


@contextmanager
def answering_sockets(_: Path) -> Iterator[Feed]:
    """The bytes are all that the server says to a request, before it closes."""
    transport = Transport(None, DEADLINE_S, lambda: ONE_MS)
    says = [b""]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer, args=(listener, says), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/rest/v2/pour"

        def feed(data: bytes) -> None:
            says[0] = data
            try:
                answer = transport.post(url, "text/plain", REQUEST_END)
            except TransportError as error:
                expect(str(error), "a failure without a reason")
                return
            expect(len(answer.body) <= MAX_BODY_BYTES, f"{len(answer.body)} bytes are read")

        yield feed
        transport.close()
        socket.socket.shutdown(listener, socket.SHUT_RDWR)
        thread.join()


def _answer(listener: socket.socket, says: list[bytes]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            request = b""
            while not request.endswith(REQUEST_END) and (more := connection.recv(65536)):
                request += more
            connection.sendall(says[0])


@contextmanager
def hub_application(directory: Path) -> Iterator[Feed]:
    """The first line is the path, headers follow, and after an empty line the body."""
    logging.getLogger("kegnet_client").addHandler(logging.NullHandler())  # each refusal would be a line
    home = Home(directory)
    home.initialise(["localhost"], None, utc_now())
    with closing(Store(home.database())) as store, asyncio.Runner() as runner:
        store.prepare()
        store.add_device(UUID, ed25519.Ed25519PrivateKey.generate().public_key(), "tap", ONE_MS)
        app = httpx.ASGITransport(create_app(store, home.token(), home.ca()))
        client = httpx.AsyncClient(transport=app, base_url="https://localhost", trust_env=False)

        def feed(data: bytes) -> None:
            path, headers, body = split(data)
            try:
                request = client.build_request("POST", path, content=body, headers=headers)
            except (httpx.InvalidURL, ValueError):
                return  # nothing that arrives at a server
            response = runner.run(client.send(request))
            expect(response.status_code < 500, f"{path}: {response.status_code} {response.text[:200]}")

        yield feed
        runner.run(client.aclose())


FORM = b"\ncontent-type: application/x-www-form-urlencoded\n\n"
JSON = b"\ncontent-type: application/json\n\n"
SIGNED = (
    b"\ncontent-type: application/json\nsignature: kegnet=:QUJD:\nsignature-input: "
    + SIGNATURE_INPUT
    + b"\ncontent-digest: "
    + EMPTY_DIGEST
    + b"\n\n"
)
REQUESTS = (
    *(b"/rest/v2/" + call + FORM + body for call, body in zip((b"pour", b"ping", b"ping", b"ip"), FORMS, strict=True)),
    b"/rest/v1/pour" + FORM + FORMS[0],
    *(b"/rest/v3/records" + SIGNED + body for body in BATCHES),
    b"/enroll" + JSON + b'{"code": "00", "uuid": "x", "request": "-----BEGIN CERTIFICATE REQUEST-----"}',
    b"/rotate" + JSON + b'{"device": "x", "request": "", "signature": "QUJD"}',
    b"/rotate/confirm" + JSON + b'{"device": "x", "fingerprint": "00", "signature": "QUJD"}',
)
REPLIES = (
    *(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for body in (b"", b"stored", b'{"accepted": 1, "rejected": []}')
    ),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstore\r\n1;x=y\r\nd\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
    b"HTTP/1.0 503 Later\r\nRetry-After: 120\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n\r\nlater",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 301 Moved\r\nLocation: https://x.example/\r\nContent-Length: 0\r\n\r\n",
)
REPLY_TOKENS = (
    b"\r\n\r\n", b"HTTP/1.1 ", b"HTTP/9.9 ", b"HTTP/1.1 100 \r\n\r\n", b"Content-Length: -1\r\n",
    b"Content-Length: 9999\r\n",
    b"Transfer-Encoding: chunked\r\n", b"-1\r\n", b"ffffffffffffffff\r\n", b"Connection: close\r\n", b"X: y\r\n" * 120,
    b"Set-Cookie: a=b\r\n", b"X: " + b"y" * 9000 + b"\r\n",
)  # fmt: skip

LIVE_TARGETS = (
    Target("transport", REPLIES, REPLY_TOKENS, answering_sockets, FULL // 10, share=2),
    Target(
        "hub application",
        REQUESTS,
        (*FORM_TOKENS, *BATCH_TOKENS, *ANSWER_TOKENS, *SIGNED_TOKENS),
        hub_application,
        FULL // 10,
        share=2,
    ),
)
