"""Whatever strangers do who have no key and no token: registered devices are served, and the log stays short."""

import resource
import socket
import ssl
import struct
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ...support.program import Program
from .hub_process import Hub
from .signed_request import Request

DEVICE = "127.0.9.9"
STRANGER = "127.0.8.8"
LIMIT = "1024:4096"
"""The usual soft limit of descriptors, and a hard one."""


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    """Enough of them for a stranger."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1] if limits[1] < 8192 else 8192, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def limited_hub(tmp_path: Path, start_program: Callable[..., Program], request: pytest.FixtureRequest) -> Iterator[Hub]:
    """A hub with the descriptors of ``LIMIT``, or of the test's parameter."""
    limit = ["prlimit", f"--nofile={getattr(request, 'param', LIMIT)}"]
    hub = Hub(tmp_path / "hub", start_program, before=limit)
    yield hub
    with suppress(OSError):
        hub.program.stop()


class Device:
    """A registered one; ``kept`` is its connection, which it has from before."""

    def __init__(self, hub: Hub, key: rsa.RSAPrivateKey) -> None:
        (self.uuid,) = hub.register(key)
        self._hub = hub
        self._key = key
        self.kept = self._client()
        self._pulses = 0

    def post(self, client: httpx.Client | None = None) -> None:
        """One pour over ``client``, or over a new connection: it is taken, and soon."""
        self._pulses += 1
        request = Request("v2", self.uuid, self._key, [self._pulses])
        own = client is None
        client = client or self._client()
        answer = client.post(request.path, content=request.body, headers=request.headers)
        assert answer.status_code == 200
        assert answer.elapsed.total_seconds() < 2
        if own:
            client.close()

    def _client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(verify=self._hub.context, local_address=DEVICE)
        return httpx.Client(base_url=self._hub.url, transport=transport, trust_env=False, timeout=10)


@pytest.fixture
def device(limited_hub: Hub, key: rsa.RSAPrivateKey) -> Iterator[Device]:
    """A device of ``limited_hub``."""
    device = Device(limited_hub, key)
    yield device
    device.kept.close()


def many_hosts(count: int) -> list[str]:
    return [f"127.1.{number // 250}.{1 + number % 250}" for number in range(count)]


def open_plain(hub: Hub, host: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", hub.port), timeout=10, source_address=(host, 0))


def open_tls(hub: Hub, host: str) -> ssl.SSLSocket | None:
    """A connection of a stranger's, if it gets one."""
    plain = open_plain(hub, host)
    try:
        return hub.context.wrap_socket(plain, server_hostname="localhost")
    except OSError:
        plain.close()
        return None


def descriptors(hub: Hub) -> int:
    return len(list(Path(f"/proc/{hub.program.pid}/fd").iterdir()))


def log_size(hub: Hub) -> int:
    return len("\n".join(hub.program.log.lines()))


def assert_served(hub: Hub, device: Device) -> None:
    for _ in range(10):
        device.post(device.kept)
        device.post()
    assert descriptors(hub) < 1024
    assert hub.program.process.poll() is None


@pytest.mark.case(59)
@pytest.mark.parametrize(
    ("limited_hub", "hosts"),
    [
        pytest.param("256:256", many_hosts(1300), id="few descriptors, many addresses"),
        pytest.param("256:256", [STRANGER] * 1300, id="few descriptors, one address", marks=pytest.mark.slow),
        pytest.param(LIMIT, many_hosts(1300), id="many addresses", marks=pytest.mark.slow),
        pytest.param(LIMIT, [STRANGER] * 1300, id="one address", marks=pytest.mark.slow),
    ],
    indirect=["limited_hub"],
)
def test_silent_connections_keep_no_device_away(limited_hub: Hub, device: Device, hosts: list[str]) -> None:
    device.post(device.kept)
    before_kb = limited_hub.program.memory_kb("VmHWM")
    before = log_size(limited_hub)
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(open_plain(limited_hub, host))
        assert_served(limited_hub, device)
    assert limited_hub.program.memory_kb("VmHWM") - before_kb < 20 * 1024
    assert log_size(limited_hub) - before < 4096


@pytest.mark.case(59)
@pytest.mark.parametrize(
    ("hosts", "half"),
    [
        pytest.param(many_hosts(505), True, id="half a request, many addresses"),
        pytest.param([STRANGER] * 505, False, id="kept alive, one address", marks=pytest.mark.slow),
        pytest.param(many_hosts(505), False, id="kept alive, many addresses", marks=pytest.mark.slow),
        pytest.param([STRANGER] * 505, True, id="half a request, one address", marks=pytest.mark.slow),
    ],
)
def test_connections_without_a_credential_keep_no_device_away(
    limited_hub: Hub, device: Device, hosts: list[str], half: bool
) -> None:
    device.post(device.kept)
    before = log_size(limited_hub)
    with ExitStack() as stack:
        got = 0
        for host in hosts:
            stream = open_tls(limited_hub, host)
            if stream is not None:
                stack.enter_context(stream)
                with suppress(OSError):
                    stream.sendall(b"GET /ca.crt HTTP/1.1\r\nHost: x\r\n" + (b"" if half else b"\r\n"))
                    got += 1
        assert got >= 256
        assert_served(limited_hub, device)
    assert limited_hub.program.memory_kb("VmHWM") < 300 * 1024
    assert log_size(limited_hub) - before < 4096


@pytest.mark.case(59)
def test_a_handshake_that_does_not_go_on_is_ended(limited_hub: Hub, device: Device) -> None:
    with open_plain(limited_hub, STRANGER) as silent, open_plain(limited_hub, STRANGER) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")
        device.post()
        for stream in (silent, slow):
            stream.settimeout(30)
            assert stream.recv(100) == b""


@pytest.mark.case(59)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00\x01\x02 this is not HTTP\r\n\r\n", id="not HTTP"),
        pytest.param(
            b"GET /ca.crt HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            id="upgrade",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_not_http_fills_no_log(limited_hub: Hub, device: Device, data: bytes) -> None:
    before = log_size(limited_hub)
    for _ in range(100):
        stream = open_tls(limited_hub, STRANGER)
        assert stream is not None
        with stream:
            stream.sendall(data)
            assert stream.recv(4096).startswith(b"HTTP/1.1 ")
    device.post(device.kept)
    assert log_size(limited_hub) - before < 4096


@pytest.mark.case(59)
def test_a_thousand_senders_fill_no_log(limited_hub: Hub) -> None:
    before = log_size(limited_hub)
    body = b"POST /enroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    for host in many_hosts(1000):
        stream = open_tls(limited_hub, host)
        assert stream is not None
        with stream:
            stream.sendall(body)
            assert stream.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert 100 < log_size(limited_hub) - before < 4096


@pytest.mark.case(59)
def test_a_certificate_request_of_another_version_is_a_4xx(session_hub: Hub, key: rsa.RSAPrivateKey) -> None:
    name = str(uuid.uuid4())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    good = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    der = good.public_bytes(Encoding.DER).replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)
    pem = ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", "CERTIFICATE REQUEST")
    with session_hub.client() as client:
        answer = client.post("/enroll", json={"code": "0" * 32, "uuid": name, "request": pem})
    assert answer.status_code == 400
    assert "certificate request" in answer.text
    assert session_hub.program.log.lines("Traceback") == []


@pytest.mark.case(59)
def test_connections_that_are_reset_leave_no_memory_behind(limited_hub: Hub, device: Device) -> None:
    reset = struct.pack("ii", 1, 0)

    def strike() -> None:
        for host in many_hosts(500):
            stream = open_tls(limited_hub, host)
            assert stream is not None
            with stream:
                stream.sendall(b"GET /ca.crt HTTP/1.1\r\nHost: x\r\n\r\n")
                assert stream.recv(4096).startswith(b"HTTP/1.1 200 ")
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)

    strike()
    before_kb = limited_hub.program.memory_kb("VmHWM")
    strike()
    strike()
    device.post()
    assert limited_hub.program.memory_kb("VmHWM") - before_kb < 50 * 1024


@pytest.mark.case(59)
def test_without_a_descriptor_left_the_hub_says_so_once_and_recovers(limited_hub: Hub, device: Device) -> None:
    device.post(device.kept)
    limits = resource.prlimit(limited_hub.program.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(limited_hub.program.pid, resource.RLIMIT_NOFILE, (descriptors(limited_hub), limits[1]))
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(open_plain(limited_hub, STRANGER))
        limited_hub.program.log.wait_for("no connection can be taken now (Too many open files)")
    resource.prlimit(limited_hub.program.pid, resource.RLIMIT_NOFILE, limits)
    device.post()
    assert len(limited_hub.program.log.lines("no connection can be taken now")) == 1
    assert limited_hub.program.log.lines("Traceback") == []
