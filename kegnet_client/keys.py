"""Keys of devices, for both ends: the device's own, which signs, and the public ones, which verify.

The key is read once, from one file, and is never written, logged or sent. What can be loaded is RSA from
2048 bits on, Ed25519 and P-256; REST v1 and v2 know RSA only. Everything else is a `ConfigError` with the
command that fixes it.

Security: the file's mode is judged on the descriptor that is then read. A symbolic link is followed, because
a package may keep its conf/ elsewhere. Inside systemd's credentials directory the mode says nothing: there
access is granted by an ACL, which shows as group-readable.
"""

import functools
import hashlib
import os
import pwd
import re
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from kegnet_client.core.errors import ConfigError
from kegnet_client.core.wire.base_url import Version
from kegnet_client.host.regular_file import open_regular, read_whole

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey

MIN_RSA_BITS = 2048

_SIGNED_WITH_RSA = (Version.V1, Version.V2)
MAX_KEY_FILE_BYTES = 64 * 1024
_ANY_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_PRIVATE_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_P256_FIELD_BYTES = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this device is, and its signature. `load_identity` makes one out of a file."""

    uuid: str
    key: PrivateKey = field(repr=False)

    @property
    def algorithm(self) -> str:
        """How `sign` signs, as the registry of HTTP Message Signatures (RFC 9421) calls it."""
        match self.key:
            case rsa.RSAPrivateKey():
                return "rsa-v1_5-sha256"
            case ed25519.Ed25519PrivateKey():
                return "ed25519"
            case ec.EllipticCurvePrivateKey():
                return "ecdsa-p256-sha256"

    def sign(self, data: bytes) -> bytes:
        """The signature over ``data``. That of P-256 is r and s, 32 bytes each (RFC 9421), not DER."""
        match self.key:
            case rsa.RSAPrivateKey():
                return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
            case ed25519.Ed25519PrivateKey():
                return self.key.sign(data)
            case ec.EllipticCurvePrivateKey():
                pair = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
                return b"".join(number.to_bytes(_P256_FIELD_BYTES, "big") for number in pair)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the public key's DER encoding, in hexadecimal, as the server names the key."""
        return _fingerprint(self.key.public_key())

    def public_pem(self) -> bytes:
        """The public key, for the server to know this device by."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def certificate_request(self) -> bytes:
        """The PKCS#10 request (PEM) for a certificate in the name of this uuid."""
        # Late: its import is a fifth of a start, and delivering takes none of it.
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.uuid)])
        digest = None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.key, digest)
        return request.public_bytes(Encoding.PEM)


def generate_private_key() -> bytes:
    """A new RSA key that every version of the protocol signs with, PKCS#8 PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=MIN_RSA_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_identity(uuid: str, path: Path, version: Version, credentials_directory: Path | None = None) -> Identity:
    """The device ``uuid`` with the key in ``path``, fit to sign for ``version`` of the protocol.

    ``credentials_directory`` is systemd's (``$CREDENTIALS_DIRECTORY``), if it started us.
    """
    is_credential = credentials_directory is not None and _is_within(path, credentials_directory)
    try:
        return parse_identity(uuid, _read(path, is_credential=is_credential), version, path)
    except ConfigError as error:
        if not is_credential:
            raise
        note = "this is systemd's copy: fix the file that LoadCredential= names in the unit, then restart the service"
        raise ConfigError(f"{fault} ({note})" for fault in error.faults) from None


def parse_identity(uuid: str, pem: bytes, version: Version, path: Path) -> Identity:
    """The device ``uuid`` with the key in ``pem``, the content of ``path``."""
    key = _parse_key(pem, path)
    if version in _SIGNED_WITH_RSA and not isinstance(key, rsa.RSAPrivateKey):
        kind = "an Ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "a P-256"
        raise _fault(path, f"is {kind} key, but REST {version.value} signs with RSA", _replace_key(path))
    return Identity(uuid, key)


def is_signed(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether the private key of ``key`` made ``signature`` over ``data``. That of P-256 is r and s, 32 bytes each."""
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        else:
            if len(signature) != 2 * _P256_FIELD_BYTES:
                return False
            halves = signature[:_P256_FIELD_BYTES], signature[_P256_FIELD_BYTES:]
            pair = encode_dss_signature(*(int.from_bytes(half, "big") for half in halves))
            key.verify(pair, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def load_public_key(pem: bytes) -> PublicKey:
    """The public key in ``pem``, of a kind and strength that the hub registers; else `ConfigError`."""
    if b"PRIVATE KEY" in pem:
        raise ConfigError("it holds a private key, which stays on its device: register the public key")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError("it holds no public key in PEM (-----BEGIN PUBLIC KEY-----)") from None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise ConfigError(
                f"its RSA key has {key.key_size} bits, which is too weak: make one of {MIN_RSA_BITS} or more"
            )
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ConfigError("its key is of a kind that KegNet does not use: RSA, P-256 and Ed25519 are taken")


def key_kind(key: PublicKey) -> str:
    """What ``key`` is, for people."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA-{key.key_size}"
    return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "P-256"


def normal_pem(key: PublicKey) -> str:
    """``key`` as the hub keeps it, the same for every spelling of the file that it came from."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


@functools.lru_cache(maxsize=1024)
def key_fingerprint(public_key_pem: str) -> str:
    """SHA-256 over the key's DER encoding, in hexadecimal: ``openssl pkey -pubin -outform DER | sha256sum``."""
    return _fingerprint(load_registered(public_key_pem))


@functools.lru_cache(maxsize=1024)
def load_registered(public_key_pem: str) -> PublicKey:
    """The key in ``public_key_pem``, which was judged when it was registered."""
    # Loading costs more than verifying. The cache is by content, so it cannot outlive a revocation.
    return cast(PublicKey, load_pem_public_key(public_key_pem.encode("ascii")))


def _fingerprint(key: PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _read(path: Path, *, is_credential: bool) -> bytes:
    try:
        fd = open_regular(path)
        try:
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            if mode & 0o077 and not is_credential:
                raise _fault(path, f"is open to others (mode {mode:04o})", f"`chmod 600 {_quoted(path)}`")
            data = read_whole(fd, MAX_KEY_FILE_BYTES)
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise _missing(path) from None
    except PermissionError:
        raise _fault(
            path,
            f"may not be read by the user {_user()}",
            "run this with sudo, or as the user whose key it is",
        ) from None
    except OSError as error:
        raise _fault(path, f"cannot be read ({error.strerror})", "name the key's file with privateKey") from None
    if is_credential and data.strip() == b"absent":  # what the unit's SetCredential= puts where there is no key
        raise _missing(path)
    return data


def _parse_key(pem: bytes, path: Path) -> PrivateKey:
    if not pem.strip():
        raise _fault(path, "is empty", f"put the key back from a backup, or {_replace_key(path)}")
    block = _PRIVATE_PEM.search(pem)
    if block is None:
        labels = {label.decode("ascii") for label in _ANY_PEM.findall(pem)}
        if labels and not any("PRIVATE" in label for label in labels):
            kinds = " and ".join(sorted(label.lower() for label in labels))
            raise _fault(path, f"holds a {kinds}, not the private key", f"put that there, or {_replace_key(path)}")
        raise _damaged(path)
    if block[1] == b"OPENSSH PRIVATE KEY":
        raise _fault(path, "is in OpenSSH's own format", f"`ssh-keygen -p -N '' -m PKCS8 -f {_quoted(path)}`")
    try:
        key = load_pem_private_key(block[0], password=None)
    except TypeError:  # how cryptography says that it wants a password
        new = _quoted(path.with_name(path.name + ".new"))
        raise _fault(
            path,
            "is encrypted, and nobody is there to type the passphrase",
            f"`openssl pkey -in {_quoted(path)} -out {new} && chmod 600 {new} && mv {new} {_quoted(path)}`",
        ) from None
    except UnsupportedAlgorithm:
        raise _wrong_type(path, "an unknown kind of key") from None
    except ValueError:
        raise _damaged(path) from None
    match key:
        case rsa.RSAPrivateKey():
            if key.key_size < MIN_RSA_BITS:
                what = f"is too weak: RSA with {key.key_size} bits, at least {MIN_RSA_BITS} are needed"
                raise _fault(path, what, _replace_key(path))
            return key
        case ed25519.Ed25519PrivateKey():
            return key
        case ec.EllipticCurvePrivateKey():
            if not isinstance(key.curve, ec.SECP256R1):
                raise _wrong_type(path, f"a key on the curve {key.curve.name}")
            return key
        case _:
            raise _wrong_type(path, f"a key of the type {type(key).__name__.removesuffix('PrivateKey')}")


def _fault(path: Path, what: str, remedy: str) -> ConfigError:
    return ConfigError(f"{path}: privateKey: {what}; {remedy}")


def _missing(path: Path) -> ConfigError:
    return _fault(
        path,
        "does not exist",
        "put it back from a backup; or, to begin anew, put a # before uuid and serviceBaseURL in client.conf and run "
        "`kegnet-client enroll URL CODE` (at a hub) or `kegnet-client init --url URL`",
    )


def _damaged(path: Path) -> ConfigError:
    return _fault(path, "holds no private key in PEM", f"put the key back from a backup, or {_replace_key(path)}")


def _wrong_type(path: Path, kind: str) -> ConfigError:
    return _fault(path, f"is {kind}, expected RSA, Ed25519 or P-256", _replace_key(path))


def _replace_key(path: Path) -> str:
    quoted, old = _quoted(path), _quoted(path.with_name(path.name + ".old"))
    return (
        f"make a new one: `mv {quoted} {old} && openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{MIN_RSA_BITS} "
        f"-out {quoted} && openssl pkey -in {quoted} -pubout`, and register the public key that it prints"
    )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _is_within(path: Path, directory: Path) -> bool:
    # Path.resolve raises on a loop of links (before Python 3.13); that is for the open to tell.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
