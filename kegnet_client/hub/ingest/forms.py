"""A REST v1 or v2 request to what the hub stores. Pure: no I/O, no clock, no database.

A request goes through two doors. `read_claim` takes nothing that is not exactly one well-formed, bounded
record (`RecordError`, which is the device's fault for good: 400). `authenticate` takes nothing that the
device's registered key did not sign (`RefusedError`: 401), and only what it returns can be stored.

A record's identity follows from its meaning, not from its spelling: the device id in lower case, all times in
milliseconds. So a resend is recognised, whatever the version and the case it comes in.
The time in a record is not compared with the hub's clock: a Pi has no battery for its own, and a replay is
recognised by its identity.
"""

import functools
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kegnet_client.core import records
from kegnet_client.core.errors import ConfigError, KegnetError, RecordError
from kegnet_client.core.records import Heartbeat, Pour, Reading
from kegnet_client.core.wire import forms
from kegnet_client.core.wire.base_url import Version

MAX_BODY_BYTES = 4096
"""No form of REST v1 or v2 comes near it: the longest, with an RSA-4096 signature, has 900 bytes."""

MIN_RSA_BITS = 2048
NOT_REGISTERED = "this device is not registered here; `kegnet-client hub devices add` does that"
REVOKED = (
    "this device is revoked and its uuid cannot come back: enrol it anew, with a new uuid (`kegnet-client hub invite`)"
)
_P256_FIELD_BYTES = 32
CALLS = tuple(forms.SIGNED_FIELDS)
VERSIONS = (Version.V1, Version.V2)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class RefusedError(KegnetError):
    """The request is not from a registered device: register it, or mend its key."""

    exit_code = 77


@dataclass(frozen=True, slots=True)
class NamelessReading:
    """A reading of REST v1 or v2, which do not say which sensor read it."""

    millidegrees: int
    taken_ms: int

    def __str__(self) -> str:
        return f"reading of {records.format_celsius(self.millidegrees)}"


@dataclass(frozen=True, slots=True)
class Address:
    """The address that a device believes to have: its word, not what the connection shows."""

    address: str
    at_ms: int

    def __str__(self) -> str:
        return f"address {self.address}"


Content = Pour | Reading | NamelessReading | Heartbeat | Address


@dataclass(frozen=True, slots=True)
class SignedString:
    """The proof of one record of REST v1 or v2: the bytes that were signed, and the signature."""

    text: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The proof of the records of REST v3: the request as it was sent, with the headers that its signature needs."""

    path: str
    content_type: str
    content_encoding: str | None
    content_digest: str
    signature_input: str
    signature: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Proven:
    """Records of ``device``, each with its id, that the key with this fingerprint did sign."""

    device: str
    version: Version
    records: tuple[tuple[str, Content], ...]
    key_fingerprint: str
    proof: SignedString | SignedRequest
    verdicts: bytes = b""
    """The answer, where the protocol has one for each record."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A record that someone says is from ``device`` (a lower-case uuid); `authenticate` finds out."""

    device: str
    content: Content
    record_id: str
    proof: SignedString
    version: Version

    @property
    def max_records(self) -> int:
        """It is one."""
        return 1

    def prove(self, keys_pem: Sequence[str], _now_ms: int) -> Proven:
        """What `authenticate` says; the time of day does not matter."""
        return authenticate(self, *keys_pem)


def read_claim(name: str, version: Version, body: bytes) -> Claim:
    """The record that the call ``name`` of ``version`` carries; `RecordError` says what is wrong with it."""
    call, signature = forms.read_call(name, body)
    return _claim(call, version, signature)


def reread_claim(name: str, version: Version, signed: bytes, signature: bytes) -> Claim:
    """What `read_claim` gave, out of the bytes that were signed."""
    names = forms.SIGNED_FIELDS[name]
    values = signed.decode("ascii", "replace").split(",")
    if len(values) != len(names):
        raise RecordError(f"the signed string has {len(values)} fields, a {name} has {len(names)}")
    return _claim(forms.Call(name, tuple(zip(names, values, strict=True))), version, signature)


def authenticate(claim: Claim, *public_keys_pem: str) -> Proven:
    """``claim``, proven to be signed with the key of one of ``public_keys_pem``, or `RefusedError`."""
    keys = [(pem, load_registered(pem)) for pem in public_keys_pem]
    usable = [(pem, key) for pem, key in keys if isinstance(key, rsa.RSAPublicKey)]
    if not usable:
        raise RefusedError(
            f"{claim.version.value} is signed with RSA, this device is registered with another kind of key"
        )
    for pem, key in usable:
        if is_signed(key, claim.proof.signature, claim.proof.text):
            records = ((claim.record_id, claim.content),)
            return Proven(claim.device, claim.version, records, fingerprint(pem), claim.proof)
    raise RefusedError("the signature is not this device's")


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
        key = serialization.load_pem_public_key(pem)
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
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode("ascii")


@functools.lru_cache(maxsize=1024)
def fingerprint(public_key_pem: str) -> str:
    """SHA-256 over the key's DER encoding, in hexadecimal: ``openssl pkey -pubin -outform DER | sha256sum``."""
    der = serialization.load_pem_public_key(public_key_pem.encode("ascii")).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return digest.finalize().hex()


@functools.lru_cache(maxsize=1024)
def load_registered(public_key_pem: str) -> PublicKey:
    """The key in ``public_key_pem``, which was judged when it was registered."""
    # Loading costs more than verifying. The cache is by content, so it cannot outlive a revocation.
    return cast(PublicKey, serialization.load_pem_public_key(public_key_pem.encode("ascii")))


def _claim(call: forms.Call, version: Version, signature: bytes) -> Claim:
    fields = dict(call.fields)
    if not forms.is_uuid(fields["id"]):
        raise RecordError(f"id is {fields['id'][:40]!r}, expected a UUID")
    device = fields["id"].lower()
    content, identity = _interpret(call.name, fields, version.ms_per_unit)
    meaning = ",".join((device, *map(str, identity))).encode("ascii")
    proof = SignedString(call.canonical_string, signature)
    return Claim(device, content, forms.record_id(meaning), proof, version)


def _interpret(name: str, fields: dict[str, str], unit_ms: int) -> tuple[Content, tuple[str | int, ...]]:
    """The content, and its values in v2's order and units."""
    at_ms = records.parse_natural("ts", fields["ts"]) * unit_ms
    if name == "pour":
        pour = records.make_pour(
            records.parse_natural("pin", fields["pin"]),
            records.parse_natural("pulses", fields["pulses"]),
            records.parse_natural("et", fields["et"]) * unit_ms,
            at_ms,
        )
        return pour, (pour.pin, pour.pulses, pour.elapsed_ms, pour.started_ms)
    if not records.FIRST_MS <= at_ms <= records.LAST_MS:
        raise RecordError(f"ts is {fields['ts']}, a time before 2001 or after 2099: the clock was not set")
    if name == "ip":
        return Address(_ipv4(fields["ip"]), at_ms), (fields["ip"], at_ms)
    millidegrees = records.parse_integer("temp", fields["temp"])
    if not records.MIN_MILLIDEGREES <= millidegrees <= records.MAX_MILLIDEGREES:
        raise RecordError(f"temp is {millidegrees}, expected {records.MIN_MILLIDEGREES} to {records.MAX_MILLIDEGREES}")
    if millidegrees == records.NO_TEMPERATURE:
        return Heartbeat(at_ms), (millidegrees, at_ms)
    return NamelessReading(millidegrees, at_ms), (millidegrees, at_ms)


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise RecordError(f"ip is {text[:40]!r}, expected an IPv4 address such as 192.168.1.57") from None
