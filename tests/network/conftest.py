"""Servers that misbehave on real sockets, and certificates for them, good and bad, made on the spot."""

import datetime
import ipaddress
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from kegnet_client.transport import Transport
from kegnet_client.trust import client_context

WAIT_S = 20.0
"""How long a test waits for what has to happen, before it fails."""

DAY = datetime.timedelta(days=1)


class Authority:
    """A CA; ``bundle`` is what trusts it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = f"CA {directory.name}"
        self.bundle = directory / "ca.pem"
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _builder(self._name, self._key, self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.bundle.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, host: str = "localhost", begin: datetime.timedelta = -DAY, end: datetime.timedelta = DAY) -> Path:
        """A file with a server's key and certificate, which is valid from ``begin`` to ``end``, seen from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(host, key, self._name, begin, end)
            .add_extension(_alternative_name(host), critical=False)
            .add_extension(identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _write(self._directory, key, certificate)

    def self_signed(self) -> Path:
        """The same for a server that vouches for itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder("localhost", key, "localhost")
            .add_extension(_alternative_name("localhost"), critical=False)
            .sign(key, hashes.SHA256())
        )
        return _write(self._directory, key, certificate)


class Connection:
    """The server's end of one connection: ``plain`` before TLS, ``stream`` once there is a handshake."""

    def __init__(self, server: "Server", plain: socket.socket) -> None:
        self.server = server
        self.plain = plain
        self.stream: socket.socket = plain

    def shake_hands(self) -> None:
        if self.server.context is not None:
            self.stream = self.server.context.wrap_socket(self.plain, server_side=True)
            self.server.handshakes += 1

    def request(self) -> bytes:
        """One whole request, head and body; empty when the client has gone."""
        data = bytearray()
        while not _is_whole(data):
            more = self.stream.recv(65536)
            if not more:
                break
            data += more
        self.server.received.append(bytes(data))
        self.server.asked.set()
        return bytes(data)

    def answer(self, *headers: str, status: str = "200 OK", body: bytes = b"") -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.stream.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    def drip(self, data: bytes) -> None:
        """Send ``data`` a byte at a time, slower than any deadline here, until the client has enough of it."""
        for byte in data:
            self.stream.sendall(bytes([byte]))
            if self.server.closing.wait(0.05):
                return

    def reset(self) -> None:
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()


Behaviour = Callable[[Connection], None]


class Server:
    """Accepts on a port of localhost and behaves as told, in a thread for each connection."""

    def __init__(self, context: ssl.SSLContext | None, behave: Behaviour, *, shake_hands: bool) -> None:
        self.context = context
        self.connections = 0
        self.handshakes = 0
        self.received: list[bytes] = []
        self.asked = threading.Event()
        """A request was read."""
        self.left = threading.Event()
        """A connection is over at this end."""
        self.closing = threading.Event()
        self._behave = behave
        self._shakes_hands = shake_hands
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: dict[threading.Thread, Connection] = {}
        self.port: int = self._listener.getsockname()[1]
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://localhost:{self.port}/rest/v2/pour"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def settle(self) -> None:
        """Wait until every connection is over at this end, too."""
        for thread in list(self._open):
            thread.join(WAIT_S)
            assert not thread.is_alive()

    def close(self) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(WAIT_S)
        self._listener.close()
        for connection in list(self._open.values()):
            with suppress(OSError):
                socket.socket.shutdown(connection.stream, socket.SHUT_RDWR)
        self.settle()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            connection = Connection(self, plain)
            thread = threading.Thread(target=self._run, args=(connection,))
            self._open[thread] = connection
            self.connections += 1
            thread.start()

    def _run(self, connection: Connection) -> None:
        # A client that goes away in the middle is what most of these tests are about.
        with suppress(OSError):
            if self._shakes_hands:
                connection.shake_hands()
            self._behave(connection)
        connection.stream.close()
        connection.plain.close()
        self._open.pop(threading.current_thread(), None)
        self.left.set()


Serve = Callable[..., Server]
Connect = Callable[..., Transport]


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA that is in the device's bundle."""
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that is not."""
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="session")
def chain(ours: Authority) -> Path:
    """A good server's key and certificate."""
    return ours.issue()


@pytest.fixture
def serve(chain: Path) -> Iterator[Serve]:
    """``serve(behave, chain=..., tls=..., shake_hands=...)``: a server, TLS with a good certificate unless told."""
    servers: list[Server] = []

    def start(
        behave: Behaviour = answer_all,
        *,
        chain: Path = chain,
        tls: ssl.TLSVersion | None = None,
        shake_hands: bool = True,
        plain: bool = False,
    ) -> Server:
        context = None
        if not plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain)
            if tls is not None:
                context.set_ciphers("DEFAULT:@SECLEVEL=0")
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    context.minimum_version = context.maximum_version = tls
        servers.append(Server(context, behave, shake_hands=shake_hands))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def connect(ours: Authority) -> Iterator[Connect]:
    """``connect(deadline_s)``: a transport that trusts our CA alone."""
    transports: list[Transport] = []

    def make(deadline_s: float = WAIT_S, wall_ms: Callable[[], int] = lambda: 0) -> Transport:
        transports.append(Transport(client_context(ours.bundle), deadline_s, wall_ms))
        return transports[-1]

    yield make
    for transport in transports:
        transport.close()


def answer_all(connection: Connection) -> None:
    """A good server."""
    while connection.request():
        connection.answer()


def _is_whole(data: bytearray) -> bool:
    head, separator, body = bytes(data).partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(separator) and len(body) >= int(lengths[0].partition(b":")[2])


def _builder(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    begin: datetime.timedelta = -DAY,
    end: datetime.timedelta = DAY,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(_name(issuer), _name(subject), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative_name(host: str) -> x509.SubjectAlternativeName:
    try:
        return x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    except ValueError:
        return x509.SubjectAlternativeName([x509.DNSName(host)])


def _write(directory: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
    path = directory / f"{certificate.serial_number}.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return path
