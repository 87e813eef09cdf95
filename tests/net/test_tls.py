"""The CA bundle to TLS: what it holds is trusted, and nothing else."""

import datetime
import ipaddress
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from kegnet_client.core.errors import ConfigError
from kegnet_client.net.tls import SYSTEM_CA_BUNDLE, client_context


class Authority:
    """A CA with one server certificate for localhost."""

    def __init__(self, directory: Path) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.bundle = directory / "ca.pem"
        self.chain = directory / "server.pem"
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {directory.name}")])

        def builder(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder(issuer_name=ca_name, subject_name=name, public_key=public)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1))
                .not_valid_after(now + datetime.timedelta(days=1))
            )

        ca = builder(ca_name, ca_key.public_key()).add_extension(x509.BasicConstraints(True, None), critical=True)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("::1"))])
        server = builder(x509.Name([]), key.public_key()).add_extension(names, critical=True)
        self.bundle.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM))
        self.chain.write_bytes(
            server.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def port(ours: Authority) -> Iterator[int]:
    """A TLS server that greets whoever trusts it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.chain)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as stream:
                    stream.sendall(b"cheers")
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def greet(context: ssl.SSLContext, port: int, name: str = "localhost") -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), 5) as raw,
        context.wrap_socket(raw, server_hostname=name) as stream,
    ):
        return stream.recv(100)


def test_a_server_that_the_bundle_vouches_for_is_believed(ours: Authority, port: int) -> None:
    assert greet(client_context(ours.bundle), port) == b"cheers"


def test_no_other_server_is_believed_whatever_the_environment_says(
    ours: Authority, other: Authority, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(ours.bundle.parent))
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(client_context(other.bundle), port)


def test_a_server_without_a_proof_is_never_taken(ours: Authority) -> None:
    context = client_context(ours.bundle)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_certificate_for_another_host_is_not_believed(ours: Authority, port: int) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        greet(client_context(ours.bundle), port, "hub.example")


def test_session_keys_are_never_written(
    ours: Authority, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    greet(client_context(ours.bundle), port)
    assert not (tmp_path / "keys").exists()


def test_nothing_older_than_tls_1_2_is_spoken(ours: Authority) -> None:
    assert client_context(ours.bundle).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_replaced_bundle_changes_nothing_before_a_reload(
    ours: Authority, other: Authority, port: int, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.crt"
    shutil.copy(ours.bundle, bundle)
    context = client_context(bundle)
    shutil.copy(other.bundle, bundle)
    assert greet(context, port) == b"cheers"
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(client_context(bundle), port)


def test_a_bundle_may_hold_several_certificates_and_comments_in_any_encoding(
    ours: Authority, other: Authority, port: int, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(b"# K\xfchlschrank\r\n" + other.bundle.read_bytes() + "Főtanúsítvány\n".encode())
    with bundle.open("ab") as file:
        file.write(ours.bundle.read_bytes().replace(b"\n", b"\r\n"))
    context = client_context(bundle)
    assert len(context.get_ca_certs()) == 2
    assert greet(context, port) == b"cheers"


def test_a_missing_bundle_is_an_error_and_not_a_wider_trust(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ca\.crt: caBundle: does not exist; copy .* or write `caBundle = system`"):
        client_context(tmp_path / "ca.crt")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00\xff" * 999, b"-----BEGIN PUBLIC KEY-----\nAA==\n"])
def test_a_bundle_without_a_certificate_is_an_error(tmp_path: Path, data: bytes) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(data)
    with pytest.raises(ConfigError, match=r"ca\.crt: caBundle: holds no PEM certificate"):
        client_context(bundle)


@pytest.mark.parametrize("damage", [b"AAAA", b"!!!!", b"\xff"])
def test_a_damaged_certificate_is_named(ours: Authority, other: Authority, tmp_path: Path, damage: bytes) -> None:
    pem = other.bundle.read_bytes()
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(ours.bundle.read_bytes() + pem[:40] + damage + pem[60:])
    with pytest.raises(ConfigError, match=r"ca\.crt: caBundle: its certificate number 2 of 2 is damaged; copy"):
        client_context(bundle)


def test_a_certificate_that_was_cut_off_is_not_passed_over(ours: Authority, other: Authority, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(other.bundle.read_bytes()[:200] + b"\n" + ours.bundle.read_bytes())
    with pytest.raises(ConfigError, match="one of its certificates is cut off"):
        client_context(bundle)


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"caBundle: cannot be read \(Is a directory\)"):
        client_context(tmp_path)
    with pytest.raises(ConfigError, match=r"caBundle: cannot be read \(not a regular file\)"):
        client_context(Path("/dev/zero"))


def test_an_unreadable_bundle_says_so(ours: Authority, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    shutil.copy(ours.bundle, bundle)
    bundle.chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may read all, so it becomes nobody
    try:
        with pytest.raises(ConfigError, match="caBundle: may not be read by the user that runs"):
            client_context(bundle)
    finally:
        os.seteuid(user)


@pytest.mark.skipif(not SYSTEM_CA_BUNDLE.exists(), reason="no system store on this machine")
def test_the_systems_store_can_be_the_bundle() -> None:
    assert len(client_context(SYSTEM_CA_BUNDLE).get_ca_certs()) > 50
