"""A malformed request is a 4xx, and clients that will not end take no memory and hold up nobody."""

import gzip
import json
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ...support.program import COMMAND
from ..versions import BOTH, V2_LATER, V3
from .hub_process import Hub
from .signed_request import Request


@pytest.mark.case(52)
@pytest.mark.parametrize(
    ("path", "kind", "body", "status"),
    [
        ("/rest/v2/pour", "application/x-www-form-urlencoded", b"", 400),
        ("/rest/v2/pour", "application/x-www-form-urlencoded", b"\xff\xfe\x00", 400),
        ("/rest/v2/pour", "application/x-www-form-urlencoded", b"id=1&id=2&pin=0", 400),
        ("/rest/v2/pour", "application/x-www-form-urlencoded", b"a=" + b"x" * 8000, 413),
        ("/rest/v2/pour", "application/json", b"{}", 415),
        ("/rest/v2/pour", "", b"id=1", 415),
        ("/rest/v2/nothing", "application/x-www-form-urlencoded", b"id=1", 404),
    ],
)
def test_a_malformed_request_is_a_4xx(session_hub: Hub, path: str, kind: str, body: bytes, status: int) -> None:
    with session_hub.client() as client:
        assert client.post(path, content=body, headers={"Content-Type": kind}).status_code == status
        assert client.get(path).status_code in (404, 405)
        assert client.get("/ca.crt").status_code == 200


@pytest.mark.case(52)
@V3
@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("not JSON", {400, 422}),
        ("not UTF-8", {400, 422}),
        ("a list", {400, 401, 422}),
        ("no records", {400, 422}),
        ("records is a number", {400, 422}),
        ("nested", {400, 413, 422}),
        ("a number of a million digits", {400, 413, 422}),
        ("501 records", {413}),
        ("300 KiB", {413}),
        ("gzip bomb", {413}),
        ("not gzip", {400, 422}),
        ("gzip cut off", {400, 422}),
        ("brotli", {400, 415, 422}),
        ("twice the same id", {400, 422}),
    ],
)
def test_on_v3_a_malformed_request_that_is_well_signed_is_a_4xx_and_takes_nothing(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, fault: str, statuses: set[int], new: int
) -> None:
    before = session_hub.pours("")
    request = Request(version, device, key, range(new, new + 501) if fault == "501 records" else [new])
    good = request.body
    bodies = {
        "not JSON": b"{",
        "not UTF-8": good.replace(b"pour", b"\xff\xff"),
        "a list": b"[" + good + b"]",
        "no records": json.dumps({"device": device}).encode(),
        "records is a number": json.dumps({"device": device, "records": 1}).encode(),
        "nested": b'{"device": "%s", "records": %s}' % (device.encode(), b"[" * 100_000 + b"]" * 100_000),
        "a number of a million digits": b'{"device": "%s", "records": [%s]}' % (device.encode(), b"9" * 200_000),
        "300 KiB": good[:-1] + b" " * 300 * 1024 + b"}",
        "gzip bomb": gzip.compress(good[:-1] + b" " * 100 * 2**20 + b"}", 1),
        "not gzip": good,
        "gzip cut off": gzip.compress(good)[:-10],
        "brotli": good,
        "twice the same id": json.dumps({**json.loads(good), "records": json.loads(good)["records"] * 2}).encode(),
    }
    request.body = bodies.get(fault, good)
    if fault in ("gzip bomb", "not gzip", "gzip cut off", "brotli"):
        request.headers["Content-Encoding"] = "br" if fault == "brotli" else "gzip"
        request.covered.insert(3, "content-encoding")
    request.seal()
    before_kb = session_hub.program.memory_kb("VmHWM")
    assert session_hub.send(request).status_code in statuses
    assert session_hub.program.memory_kb("VmHWM") - before_kb < 20 * 1024
    assert session_hub.pours("") == before
    assert session_hub.send(Request(version, device, key, [new])).status_code == 200


@pytest.mark.case(52)
@V2_LATER
def test_requests_without_end_take_no_memory_and_hold_up_nobody(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, new: int
) -> None:
    request = Request(version, device, key, [new])
    before_kb = session_hub.program.memory_kb("VmHWM")

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(2**20)

    with session_hub.client() as client:
        for _ in range(5):
            with suppress(httpx.TransportError):  # it closes in the middle
                answer = client.post(request.path, content=endless(), headers=request.headers)
                assert answer.status_code == 413
            assert session_hub.send(request).status_code == 200
    assert session_hub.program.memory_kb("VmHWM") - before_kb < 20 * 1024


@pytest.mark.case(52)
@V2_LATER
def test_slow_clients_hold_up_nobody(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, new: int
) -> None:
    request = Request(version, device, key, [new])
    head = f"POST {request.path} HTTP/1.1\r\nHost: localhost\r\n"
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    starts = [
        b"",
        head.encode(),
        f"{head}{headers}Content-Length: {len(request.body)}\r\n\r\n".encode() + request.body[:10],
        f"{head}{headers}Transfer-Encoding: chunked\r\n\r\n5\r\nab".encode(),
    ]
    slow = []
    for start in starts * 15:
        plain = socket.create_connection(("127.0.0.1", session_hub.port))
        stream = session_hub.context.wrap_socket(plain, server_hostname="localhost") if start else plain
        stream.sendall(start or b"\x16")
        slow.append(stream)
    for pulses in range(new, new + 30):
        assert session_hub.send(Request(version, device, key, [pulses])).status_code == 200
    assert set(range(new, new + 30)) <= set(session_hub.pours(device))
    for stream in slow:
        stream.close()


@pytest.mark.case(52)
@pytest.mark.slow
@BOTH
def test_a_body_that_does_not_come_is_a_408(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, new: int
) -> None:
    request = Request(version, device, key, [new])
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    head = f"POST {request.path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 100\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", session_hub.port), timeout=30) as plain,
        session_hub.context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        stream.sendall(head.encode())
        assert b" 408 " in stream.recv(4096)


@pytest.mark.case(52)
@pytest.mark.slow
@pytest.mark.parametrize("role", ["read", "operate", "admin"])
def test_schemathesis_finds_nothing_that_the_hub_answers_with_a_5xx(
    session_hub: Hub, tmp_path: Path, role: str
) -> None:
    tool = COMMAND.with_name("schemathesis")
    if not tool.exists():
        pytest.skip("takes schemathesis")
    made = session_hub.command("token", "make", role, "--role", role).strip()
    argv: list[str | Path] = [
        *(tool, "run", f"{session_hub.url}/openapi.json", "--header", f"Authorization: Bearer {made}"),
        *("--checks", "not_a_server_error", "--tls-verify", session_hub.directory / "ca.crt"),
        *("--exclude-path", "/api/events"),  # does not end
        *("--max-examples", "50", "--seed", str(random.randrange(2**32))),  # noqa: S311 (no secret)
    ]
    variables = {**os.environ, "REQUESTS_CA_BUNDLE": str(session_hub.directory / "ca.crt")}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600, cwd=tmp_path, env=variables)
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert session_hub.program.process.poll() is None
