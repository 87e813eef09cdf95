"""KegNet REST v1 and v2: a record to the exact bytes that are signed and sent, and back.

Both ends of the wire use this module. A call of v1 and v2 is a form (``application/x-www-form-urlencoded``)
whose ``sig`` field is a signature over the other fields' values, comma-joined in the order of `SIGNED_FIELDS`:
the canonical string. A field is formatted once, so that what was signed is what is sent.

v1 differs from v2 in one thing: its times are whole seconds, by floor.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote_plus

from kegnet_client.core.errors import RecordError
from kegnet_client.core.records import NO_TEMPERATURE, Heartbeat, Pour, Reading, Record
from kegnet_client.core.wire.base_url import Version

CONTENT_TYPE = "application/x-www-form-urlencoded"

SIGNED_FIELDS = {
    "pour": ("id", "pin", "pulses", "et", "ts"),
    "ping": ("id", "temp", "ts"),
    "ip": ("id", "ip", "ts"),
}
"""Each call's fields, in the order in which their values are signed."""

_QUOTED = ((b"+", b"%2B"), (b"/", b"%2F"), (b"=", b"%3D"))
"""All that base64 has to have quoted in a form; quoting a signature character by character shows in the bench."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    """One request before it is signed: ``name`` is the last part of its path, ``fields`` are in the order of
    `SIGNED_FIELDS`."""

    name: str
    fields: tuple[tuple[str, str], ...]

    @property
    def canonical_string(self) -> bytes:
        """The bytes to sign."""
        return ",".join([value for _, value in self.fields]).encode()

    def body(self, signature: bytes) -> bytes:
        """The form to POST."""
        encoded = base64.b64encode(signature)
        for character, quoted in _QUOTED:
            encoded = encoded.replace(character, quoted)
        # Most values are digits, in which there is nothing to quote; looking for it takes longer than all the rest.
        fields = [
            f"{name}={value if value.isascii() and value.isdigit() else quote_plus(value)}"
            for name, value in self.fields
        ]
        return "&".join([*fields, "sig="]).encode("ascii") + encoded


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID in its usual spelling, upper or lower case."""
    return _UUID.fullmatch(text) is not None


def call_for(record: Record | Heartbeat, device: str, version: Version) -> Call:
    """The request of ``version``, 1 or 2, that carries ``record`` from the device with the uuid ``device``."""
    unit = version.ms_per_unit
    match record:
        case Pour(pin, pulses, elapsed_ms, started_ms):
            values = (device, pin, pulses, elapsed_ms // unit, started_ms // unit)
            return Call("pour", _fields("pour", values))
        case Reading(_, millidegrees, taken_ms):
            return Call("ping", _fields("ping", (device, millidegrees, taken_ms // unit)))
        case Heartbeat(at_ms):  # pragma: no branch (mypy sees that there is no fourth)
            return Call("ping", _fields("ping", (device, NO_TEMPERATURE, at_ms // unit)))


def address_call(address: str, at_ms: int, device: str) -> Call:
    """The request of v2 that tells the IPv4 ``address`` of ``device``; v1 has none."""
    return Call("ip", _fields("ip", (device, address, at_ms)))


def read_call(name: str, body: bytes) -> tuple[Call, bytes]:
    """The call ``name`` and its signature out of a request's body.

    Raises `RecordError` unless every field stands there exactly once.
    """
    expected = (*SIGNED_FIELDS[name], "sig")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=16
        )
    except ValueError:
        raise RecordError("the body is not a form") from None
    values = dict(pairs)
    if len(values) != len(pairs) or not values.keys() >= set(expected):
        raise RecordError(f"expected the fields {', '.join(expected)}, each once")
    try:
        signature = base64.b64decode(values["sig"], validate=True)
    except (binascii.Error, ValueError):
        raise RecordError("sig is not base64") from None
    return Call(name, tuple((field, values[field]) for field in SIGNED_FIELDS[name])), signature


def record_id(canonical_string: bytes) -> str:
    """The identity of a record (its idempotency key): 32 hexadecimal digits that follow from what was signed."""
    return hashlib.sha256(canonical_string).digest()[:16].hex()


def _fields(name: str, values: tuple[str | int, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(SIGNED_FIELDS[name], map(str, values), strict=True))
