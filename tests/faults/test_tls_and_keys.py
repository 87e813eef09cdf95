"""Faults of certificates, CA bundles and keys."""

import signal
import ssl
import subprocess
import warnings
from pathlib import Path

import pytest

from ..support.authority import Authority
from ..support.device import Device
from ..support.waits import wait_until
from .known import KEPT
from .misbehaving_server import Serve, Server
from .versions import V2_LATER, slowly

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def self_signed(directory: Path) -> Path:
    chain = directory / "self.pem"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"),
        *(
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            chain,
            "-out",
            f"{chain}.crt",
        ),
    )
    with chain.open("ab") as file:
        file.write(Path(f"{chain}.crt").read_bytes())
    return chain


# 33


@pytest.mark.case(33)
@V2_LATER
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("expired", "the server's certificate has expired: renew it there, or set this clock, which says 20"),
        ("not yet valid", "the server's certificate is not valid yet: this clock says 20"),
        ("wrong host", "the server's certificate is for another host: fix the host in serviceBaseURL"),
        ("common name", "the server's certificate is for another host: fix the host in serviceBaseURL"),
        ("self-signed", "the server's certificate is signed by itself or by an unknown CA: put its CA into caBundle"),
        ("unknown CA", "the server's certificate is from a CA that is not in caBundle: put that CA there"),
        ("TLS 1.1", "TLS failed ("),
        pytest.param("TLS 1.0", "TLS failed (", marks=pytest.mark.slow),
    ],
)
def test_without_a_good_certificate_not_a_byte_of_a_request_is_sent_and_the_message_names_the_fault(
    device: Device,
    serve: Serve,
    authority: Authority,
    other_authority: Authority,
    chain: Path,
    tmp_path: Path,
    fault: str,
    message: str,
) -> None:
    match fault:
        case "expired":
            server = serve(authority.issue(days=-500))
        case "not yet valid":
            server = serve(authority.issue(days=30))
        case "wrong host":
            server = serve(authority.issue("kegnet.example"))
        case "common name":
            server = serve(authority.common_name_only())
        case "self-signed":
            server = serve(self_signed(tmp_path))
        case "unknown CA":
            server = serve(other_authority.issue())
        case _:
            server = serve(chain)
            assert server.context is not None
            server.context.set_ciphers("DEFAULT:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                tls = ssl.TLSVersion.TLSv1_1 if fault == "TLS 1.1" else ssl.TLSVersion.TLSv1
                server.context.minimum_version = server.context.maximum_version = tls
    device.configure(base=server.url)
    device.drop(1)
    program = device.run()
    told = program.log.wait_for(KEPT)
    assert message in told
    assert f"{server.url.split('/')[2]}: " in told
    assert message in device.command("check").stdout
    assert program.stop()[0] == 0
    assert len(program.log.lines(KEPT)) == 1
    assert device.waiting() == ["000001.pour"]
    # Every handshake failed, so that there was never a key to read a request with.
    wait_until(lambda: len(server.handshake_faults) == server.connections >= 2, "a handshake succeeded")
    assert server.asked() == []


# 34


@pytest.mark.case(34)
@V2_LATER
def test_a_ca_bundle_that_is_replaced_counts_from_the_reload_on(
    device: Device, server: Server, serve: Serve, other_authority: Authority
) -> None:
    new = serve(other_authority.issue())
    device.configure(base=new.url)
    device.drop(1)
    program = device.run()
    program.log.wait_for("put that CA there")
    device.ca.write_bytes(other_authority.ca)
    assert new.asked() == []
    device.reload(program)
    new.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")


@pytest.mark.case(34)
@pytest.mark.parametrize(
    "fault",
    ["missing", "garbage", *(pytest.param(one, marks=pytest.mark.slow) for one in ("empty", "cut off", "directory"))],
)
def test_a_bad_ca_bundle_is_78_at_the_start_and_on_a_reload_the_old_one_stays(
    device: Device, server: Server, fault: str
) -> None:
    program = device.run()
    good = device.ca.read_bytes()
    device.ca.unlink()
    match fault:
        case "garbage":
            device.ca.write_text("garbage")
        case "empty":
            device.ca.touch()
        case "cut off":
            device.ca.write_bytes(good[: len(good) // 2])
        case "directory":
            device.ca.mkdir()
    program.log.wait_for("delivers from")
    program.signal(signal.SIGHUP)
    program.log.wait_for("reload: the configuration has faults; the previous one stays in use")
    assert "caBundle: " in program.log.wait_for("reload: ")
    device.drop(1)
    server.wait_for_rows([1])
    assert program.stop()[0] == 0
    ended = device.command("run")
    assert ended.returncode == 78
    assert f"{device.ca}: caBundle: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.case(34)
@V2_LATER
def test_the_systems_authorities_are_believed_where_the_configuration_says_so_and_nowhere_else(
    device: Device,
    server: Server,
    authority: Authority,
    other_authority: Authority,
    as_root: None,
) -> None:
    bundle = device.root / "system.crt"
    bundle.write_bytes(authority.ca)
    inside = f'mount --bind "$0" {SYSTEM_BUNDLE} && exec "$@"'
    system = ("unshare", "-m", "sh", "-c", inside, str(bundle))  # a machine whose system trusts the server
    device.drop(1)
    device.ca.write_bytes(other_authority.ca)
    program = device.run(before=system)
    program.log.wait_for("from a CA that is not in caBundle")
    assert server.asked() == []
    assert program.stop()[0] == 0
    device.ca.unlink()
    assert device.command("run", before=system).returncode == 78
    device.configure(ca_bundle="system")
    device.run(before=system)
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")


# 35

RSA = ("genpkey", "-algorithm", "RSA", "-pkeyopt")


@pytest.mark.case(35)
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", "does not exist; put it back from a backup"),
        ("garbage", "holds no private key in PEM; put the key back from a backup"),
        ("encrypted", "is encrypted, and nobody is there to type the passphrase; `openssl pkey -in "),
        ("too weak", "is too weak: RSA with 1024 bits, at least 2048 are needed; make a new one"),
        ("readable by the group", "is open to others (mode 0640); `chmod 600 "),
        *slowly(
            ("empty", "is empty; put the key back from a backup"),
            ("cut off", "holds no private key in PEM; put the key back from a backup"),
            ("public", "holds a public key, not the private key; put that there"),
            ("P-384", "is a key on the curve secp384r1, expected RSA, Ed25519 or P-256; make a new one"),
            ("X25519", "is a key of the type X25519, expected RSA, Ed25519 or P-256; make a new one"),
            ("readable by all", "is open to others (mode 0604); `chmod 600 "),
            ("directory", "cannot be read (Is a directory); name the key's file with privateKey"),
            ("fifo", "cannot be read (not a regular file); name the key's file with privateKey"),
        ),
    ],
)
def test_a_bad_key_ends_it_with_78_and_what_to_do_and_nothing_is_lost(
    device: Device, server: Server, key_pem: bytes, fault: str, message: str
) -> None:
    key = device.key
    match fault:
        case "missing" | "directory" | "fifo":
            key.unlink()
        case "empty":
            key.write_bytes(b"")
        case "garbage":
            key.write_text("garbage\n")
        case "cut off":
            key.write_bytes(key_pem[: len(key_pem) // 2])
        case "public":
            openssl("pkey", "-in", key, "-pubout", "-out", f"{key}.pub")
            key.write_bytes(Path(f"{key}.pub").read_bytes())
        case "encrypted":
            openssl("pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", f"{key}.new")
            key.write_bytes(Path(f"{key}.new").read_bytes())
        case "too weak":
            openssl(*RSA, "rsa_keygen_bits:1024", "-out", key)
        case "P-384":
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", key)
        case "X25519":
            openssl("genpkey", "-algorithm", "X25519", "-out", key)
        case "readable by the group":
            key.chmod(0o640)
        case _:
            key.chmod(0o604)
    match fault:
        case "directory":
            key.mkdir()
        case "fifo":
            subprocess.run(["mkfifo", key], check=True)
    device.drop(1)
    for command in ("run", "send"):
        ended = device.command(command)
        assert (ended.returncode, ended.stdout) == (78, "")
        assert f"{key}: privateKey: {message}" in ended.stderr
        assert "Traceback" not in ended.stderr
    assert server.connections == 0
    if key.is_dir():
        key.rmdir()
    key.unlink(missing_ok=True)
    key.touch(0o600)
    key.write_bytes(key_pem)
    device.run()
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")


@pytest.mark.case(35)
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("algorithm", [("Ed25519",), ("EC", "-pkeyopt", "ec_paramgen_curve:P-256")])
def test_a_key_that_the_protocol_cannot_sign_with_is_78(
    device: Device, version: str, algorithm: tuple[str, ...]
) -> None:
    openssl("genpkey", "-algorithm", *algorithm, "-out", device.key)
    ended = device.command("run")
    assert ended.returncode == 78
    assert f"but REST {version} signs with RSA; make a new one" in ended.stderr
