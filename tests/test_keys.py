"""The device's key: what signs, and what is refused with the command that fixes it."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from cryptography.x509.oid import NameOID

from kegnet_client.core.errors import ConfigError
from kegnet_client.core.wire.base_url import Version
from kegnet_client.keys import Identity, generate_private_key, load_identity, parse_identity

UUID = "6F1C0e8a-0d5e-4d43-9b0e-5f2d0c2b7a11"
DATA = b"canonical,string"
KeyFile = Callable[[bytes], Path]


@pytest.fixture(scope="module")
def rsa_pem() -> bytes:
    return generate_private_key()


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    """Writes a key where only its owner may read it, at a path that a shell would take apart."""

    def write(pem: bytes) -> Path:
        path = tmp_path / "the privkey.pem"
        path.touch(0o600)
        path.write_bytes(pem)
        return path

    return write


def pem_of(
    key: rsa.RSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | ec.EllipticCurvePrivateKey
    | x25519.X25519PrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    passphrase: bytes = b"",
) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption)


def refusal(path: Path, version: Version = Version.V2, credentials: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_identity(UUID, path, version, credentials)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{path}: privateKey: ")
    return fault


def run_remedy(fault: str, replace: tuple[str, str] = ("", "")) -> None:
    """Type the command that ``fault`` shows."""
    command = re.findall("`(.*?)`", fault)[-1].replace(*replace)
    subprocess.run(["sh", "-c", f"umask 022; {command}"], check=True, capture_output=True, timeout=60)


def test_a_generated_key_signs_what_openssl_verifies(rsa_pem: bytes, key_file: KeyFile, tmp_path: Path) -> None:
    identity = load_identity(UUID, key_file(rsa_pem), Version.V2)
    (tmp_path / "pub").write_bytes(identity.public_pem())
    (tmp_path / "sig").write_bytes(identity.sign(DATA))
    (tmp_path / "data").write_bytes(DATA)
    subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", "pub", "-signature", "sig", "data"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert identity.algorithm == "rsa-v1_5-sha256"
    assert identity.uuid == UUID


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("version", Version)
def test_rsa_loads_in_both_pem_forms_for_every_version(
    rsa_key: rsa.RSAPrivateKey, key_file: KeyFile, form: PrivateFormat, version: Version
) -> None:
    identity = load_identity(UUID, key_file(pem_of(rsa_key, form)), version)
    rsa_key.public_key().verify(identity.sign(DATA), DATA, padding.PKCS1v15(), hashes.SHA256())


def test_text_around_the_key_does_no_harm(rsa_pem: bytes, key_file: KeyFile) -> None:
    load_identity(UUID, key_file(b"Bag Attributes\n  friendlyName: K\xfcche\n" + rsa_pem + b"\n"), Version.V2)


def test_ed25519_signs() -> None:
    identity = Identity(UUID, ed25519.Ed25519PrivateKey.generate())
    public = load_pem_public_key(identity.public_pem())
    assert isinstance(public, ed25519.Ed25519PublicKey)
    public.verify(identity.sign(DATA), DATA)
    assert identity.algorithm == "ed25519"


def test_p256_signs_as_two_numbers_of_32_bytes() -> None:
    identity = Identity(UUID, ec.generate_private_key(ec.SECP256R1()))
    public = load_pem_public_key(identity.public_pem())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    for _ in range(20):  # a number with a leading zero byte comes along every now and then
        signature = identity.sign(DATA)
        assert len(signature) == 64
        pair = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        public.verify(encode_dss_signature(*pair), DATA, ec.ECDSA(hashes.SHA256()))
    assert identity.algorithm == "ecdsa-p256-sha256"


def test_the_certificate_request_is_in_the_name_of_the_uuid(rsa_key: rsa.RSAPrivateKey) -> None:
    for key in (rsa_key, ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())):
        request = x509.load_pem_x509_csr(Identity(UUID, key).certificate_request())
        assert request.is_signature_valid
        assert [name.value for name in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [UUID]


def test_the_key_does_not_show_in_a_printed_identity(rsa_pem: bytes) -> None:
    assert repr(parse_identity(UUID, rsa_pem, Version.V2, Path("k"))) == f"Identity(uuid='{UUID}')"


@pytest.mark.parametrize("version", [Version.V1, Version.V2])
def test_v1_and_v2_say_that_they_sign_with_rsa(key_file: KeyFile, version: Version) -> None:
    fault = refusal(key_file(pem_of(ed25519.Ed25519PrivateKey.generate())), version)
    assert f"is an Ed25519 key, but REST {version.value} signs with RSA; make a new one: `mv " in fault
    fault = refusal(key_file(pem_of(ec.generate_private_key(ec.SECP256R1()))), version)
    assert f"is a P-256 key, but REST {version.value} signs with RSA" in fault


def test_a_p256_key_is_found_behind_its_parameters(key_file: KeyFile) -> None:
    made = subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey"], check=True, capture_output=True
    ).stdout
    assert made.startswith(b"-----BEGIN EC PARAMETERS")
    assert "is a P-256 key" in refusal(key_file(made))


def test_a_key_that_is_too_weak_is_refused_and_the_command_makes_a_better_one(key_file: KeyFile) -> None:
    made = subprocess.run(["openssl", "genrsa", "-traditional", "1024"], check=True, capture_output=True).stdout
    path = key_file(made)
    fault = refusal(path)
    assert "is too weak: RSA with 1024 bits, at least 2048 are needed" in fault
    run_remedy(fault)
    load_identity(UUID, path, Version.V2)
    assert path.with_name("the privkey.pem.old").read_bytes() == made


def test_a_key_of_512_bits_is_refused(key_file: KeyFile) -> None:
    made = subprocess.run(["openssl", "genrsa", "512"], check=True, capture_output=True).stdout
    assert "RSA" in refusal(key_file(made))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "is a key on the curve secp384r1"),
        (ec.generate_private_key(ec.SECP256K1()), "is a key on the curve secp256k1"),
        (ed448.Ed448PrivateKey.generate(), "is a key of the type Ed448"),
        (x25519.X25519PrivateKey.generate(), "is a key of the type X25519"),
    ],
)
def test_another_type_or_curve_is_refused(
    key_file: KeyFile,
    key: ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey | x25519.X25519PrivateKey,
    expected: str,
) -> None:
    fault = refusal(key_file(pem_of(key)))
    assert f"{expected}, expected RSA, Ed25519 or P-256; make a new one: `mv " in fault


def test_a_curve_that_nobody_knows_is_refused(key_file: KeyFile) -> None:
    made = subprocess.run(
        ["openssl", "ecparam", "-name", "prime192v2", "-genkey", "-noout"], check=True, capture_output=True
    ).stdout
    assert "is an unknown kind of key, expected RSA, Ed25519 or P-256" in refusal(key_file(made))


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_refused_and_the_command_decrypts_it(
    rsa_key: rsa.RSAPrivateKey, key_file: KeyFile, form: PrivateFormat
) -> None:
    path = key_file(pem_of(rsa_key, form, b"geheim"))
    fault = refusal(path)
    assert "is encrypted" in fault
    run_remedy(fault, ("openssl pkey", "openssl pkey -passin pass:geheim"))
    assert load_identity(UUID, path, Version.V2).public_pem() == Identity(UUID, rsa_key).public_pem()


def test_openssh_format_is_refused_and_the_command_converts_it(rsa_key: rsa.RSAPrivateKey, key_file: KeyFile) -> None:
    path = key_file(pem_of(rsa_key, PrivateFormat.OpenSSH))
    fault = refusal(path)
    assert "is in OpenSSH's own format; `ssh-keygen -p " in fault
    if shutil.which("ssh-keygen"):
        run_remedy(fault)
        assert load_identity(UUID, path, Version.V2).public_pem() == Identity(UUID, rsa_key).public_pem()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o601])
def test_a_key_open_to_others_is_refused_and_the_command_closes_it(
    rsa_pem: bytes, key_file: KeyFile, mode: int
) -> None:
    path = key_file(rsa_pem)
    path.chmod(mode)
    fault = refusal(path)
    assert f"is open to others (mode {mode:04o}); `chmod 600 '{path}'`" in fault
    run_remedy(fault)
    load_identity(UUID, path, Version.V2)


def test_a_linked_key_is_judged_by_the_file_behind_the_link(rsa_pem: bytes, key_file: KeyFile, tmp_path: Path) -> None:
    path, link = key_file(rsa_pem), tmp_path / "link"
    link.symlink_to(path)
    load_identity(UUID, link, Version.V2)
    path.chmod(0o644)
    assert "is open to others" in refusal(link)


def test_systemds_credential_may_be_readable_by_a_group(rsa_pem: bytes, key_file: KeyFile, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    credential = key_file(rsa_pem).rename(credentials / "privkey.pem")
    credential.chmod(0o440)
    load_identity(UUID, credential, Version.V2, credentials)
    assert "is open to others" in refusal(credential)
    outside = key_file(rsa_pem)
    outside.chmod(0o440)
    assert "is open to others" in refusal(outside, credentials=credentials)
    assert "is open to others" in refusal(credentials / ".." / outside.name, credentials=credentials)
    (credentials / "link").symlink_to(outside)
    assert "is open to others" in refusal(credentials / "link", credentials=credentials)


def test_a_fault_in_a_credential_says_where_to_mend_it(key_file: KeyFile, tmp_path: Path) -> None:
    fault = refusal(key_file(b""), credentials=tmp_path)
    assert fault.endswith("fix the file that LoadCredential= names in the unit, then restart the service)")


def test_the_stand_in_for_a_missing_credential_is_a_missing_key(key_file: KeyFile, tmp_path: Path) -> None:
    path = key_file(b"absent")
    assert "does not exist" in refusal(path, credentials=tmp_path)
    assert "holds no private key" in refusal(path)


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    assert "does not exist; put it back from a backup" in refusal(tmp_path / "privkey.pem")
    assert refusal(tmp_path / "privkey.pem").endswith(
        "run `kegnet-client enroll URL CODE` (at a hub) or `kegnet-client init --url URL`"
    )


def test_an_unreadable_key_says_who_must_read_it(rsa_pem: bytes, key_file: KeyFile) -> None:
    path = key_file(rsa_pem)
    path.chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may read all, so it becomes nobody
    try:
        fault = refusal(path)
    finally:
        os.seteuid(user)
    assert re.search(r"may not be read by the user \S+; run this with sudo", fault)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "cannot be read (not a regular file); name" in refusal(tmp_path / "fifo")
    assert "cannot be read (Is a directory); name" in refusal(tmp_path)
    assert "not a regular file" in refusal(Path("/dev/zero"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be read (Too many levels of symbolic links)" in refusal(tmp_path / "loop", credentials=tmp_path)


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_file_is_called_empty(key_file: KeyFile, content: bytes) -> None:
    assert "is empty; put the key back from a backup, or make a new one: `mv " in refusal(key_file(content))


@pytest.mark.parametrize("content", [b"hello", b"\0\xff" * 100, b"-----BEGIN PRIVATE KEY-----\n", b"-----BEGIN -----"])
def test_garbage_holds_no_private_key(key_file: KeyFile, content: bytes) -> None:
    assert "holds no private key in PEM; put the key back" in refusal(key_file(content))


def test_a_damaged_key_holds_no_private_key(rsa_pem: bytes, key_file: KeyFile) -> None:
    lines = rsa_pem.splitlines(keepends=True)
    for damaged in (lines[:5] + lines[6:], lines[:-1], [lines[0], b"!!!!\n", *lines[1:]], [lines[0], lines[-1]]):
        assert "holds no private key in PEM" in refusal(key_file(b"".join(damaged)))


def test_a_file_too_large_for_a_key_is_not_read_to_its_end(rsa_pem: bytes, key_file: KeyFile) -> None:
    assert "cannot be read (larger than 64 KiB); name" in refusal(key_file(b"\n" * 65536 + rsa_pem))


def test_a_public_key_or_certificate_is_called_what_it_is(rsa_pem: bytes, key_file: KeyFile) -> None:
    identity = parse_identity(UUID, rsa_pem, Version.V2, Path("k"))
    fault = refusal(key_file(identity.public_pem()))
    assert "holds a public key, not the private key; put that there, or make a new one: `mv " in fault
    assert "holds a certificate request, not the private key" in refusal(key_file(identity.certificate_request()))
    certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert "holds a certificate, not the private key" in refusal(key_file(certificate))
    load_identity(UUID, key_file(certificate + rsa_pem), Version.V2)
