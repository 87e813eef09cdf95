"""A REST v1 or v2 request to what the hub stores. Pure: no I/O, no clock, no database.

A request goes through two doors. `read_claim` takes nothing that is not exactly one well-formed, bounded
record (`RecordError`, which is the device's fault for good: 400). `authenticate` takes nothing that the
device's registered key did not sign (`RefusedError`: 401), and only what it returns can be stored.

A record's identity follows from its meaning, not from its spelling: the device id in lower case, all times in
milliseconds. So a resend is recognised, whatever the version and the case it comes in.
The time in a record is not compared with the hub's clock: a Pi has no battery for its own, and a replay is
recognised by its identity.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.core import records
from kegnet_client.core.errors import KegnetError, RecordError
from kegnet_client.core.records import Heartbeat, Pour, Reading
from kegnet_client.core.wire import forms
from kegnet_client.core.wire.base_url import Version
from kegnet_client.keys import is_signed, key_fingerprint, load_registered

MAX_BODY_BYTES = 4096
"""No form of REST v1 or v2 comes near it: the longest, with an RSA-4096 signature, has 900 bytes."""

NOT_REGISTERED = "this device is not registered here; `kegnet-client hub devices add` does that"
REVOKED = "this device is revoked; it comes back by the line that `kegnet-client hub invite --replace` prints there"
CALLS = tuple(forms.SIGNED_FIELDS)
VERSIONS = (Version.V1, Version.V2)


class RefusedError(KegnetError):
    """The request is not from a registered device: register it, or fix its key."""

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
    rejected: int = 0
    """How many more records there were that are not well-formed."""


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


def find_device(body: bytes) -> str:
    """The uuid that ``body``, which is no record, says it is from; empty where it names none."""
    try:
        (device,) = parse_qs(body.decode("ascii"), max_num_fields=16)["id"]
    except (ValueError, KeyError):
        return ""
    return device.lower() if forms.is_uuid(device) else ""


def reread_claim(name: str, version: Version, signed: bytes, signature: bytes) -> Claim:
    """What `read_claim` gave, out of the bytes that were signed."""
    names = forms.SIGNED_FIELDS[name]
    values = signed.decode("ascii", "replace").split(",")
    if len(values) != len(names):
        raise RecordError(f"the signed string has {len(values)} fields, a {name} has {len(names)}")
    if version not in VERSIONS:
        raise RecordError(f"{version.value} signs no record by itself")
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
            return Proven(claim.device, claim.version, records, key_fingerprint(pem), claim.proof)
    raise RefusedError("the signature is not this device's")


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
