"""KegNet REST v1 and v2: a record to the exact bytes that are signed and sent, and back; the base URL of all three.

Both ends of the wire use this module. A call of v1 and v2 is a form (``application/x-www-form-urlencoded``)
whose ``sig`` field is a signature over the other fields' values, comma-joined in the order of `SIGNED_FIELDS`:
the canonical string. A field is formatted once, so that what was signed is what is sent.

v1 differs from v2 in one thing: its times are whole seconds, by floor.
"""

import base64
import binascii
import hashlib
import ipaddress
import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qsl, urlencode, urlsplit

from kegnet_client.core.errors import RecordError
from kegnet_client.core.records import NO_TEMPERATURE, Heartbeat, Pour, Reading

CONTENT_TYPE = "application/x-www-form-urlencoded"

SIGNED_FIELDS = {
    "pour": ("id", "pin", "pulses", "et", "ts"),
    "ping": ("id", "temp", "ts"),
    "ip": ("id", "ip", "ts"),
}
"""Each call's fields, in the order in which their values are signed."""

_QUOTED = str.maketrans({"+": "%2B", "/": "%2F", "=": "%3D"})
"""All that base64 has to have quoted in a form; quoting a signature character by character shows in the bench."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


class Version(Enum):
    """The protocol that is spoken, as the base URL's last part names it."""

    V1 = "v1"
    V2 = "v2"
    V3 = "v3"

    @property
    def ms_per_unit(self) -> int:
        """How many milliseconds one unit of this version's times is."""
        return 1000 if self is Version.V1 else 1


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """``serviceBaseURL``, taken apart."""

    url: str
    host: str
    port: int
    version: Version


@dataclass(frozen=True, slots=True)
class Call:
    """One request before it is signed: ``name`` is the last part of its path."""

    name: str
    fields: tuple[tuple[str, str], ...]

    @property
    def canonical_string(self) -> bytes:
        """The bytes to sign."""
        values = dict(self.fields)
        return ",".join(values[field] for field in SIGNED_FIELDS[self.name]).encode()

    def body(self, signature: bytes) -> bytes:
        """The form to POST."""
        encoded = base64.b64encode(signature).decode("ascii").translate(_QUOTED)
        return f"{urlencode(self.fields)}&sig={encoded}".encode("ascii")


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID in its usual spelling, upper or lower case."""
    return _UUID.fullmatch(text) is not None


def parse_base_url(text: str) -> BaseUrl:
    """``serviceBaseURL`` taken apart; `ValueError` says what is wrong with it and what to write.

    Plain http is for a server on this machine only: elsewhere anyone in between could acknowledge records
    that no server has seen.
    """
    url = text.rstrip("/")
    # Judged as written: urlsplit drops tabs and newlines, and an empty query or fragment leaves no trace.
    if not url.isprintable() or not {" ", "?", "#"}.isdisjoint(url):
        raise ValueError("it may hold a host, a port and a path, nothing else; write it as https://HOST/rest/v3")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("its host cannot be read; write it as https://HOST/rest/v3") from None
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("its port is not a number from 1 to 65535")
    host = parts.hostname
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError("write it as https://HOST/rest/v3")
    if parts.username is not None:
        raise ValueError("it may hold a host, a port and a path, nothing else; write it as https://HOST/rest/v3")
    if not _is_host(host):
        raise ValueError(f"{host[:60]!r} can be no host's name; write it as https://HOST/rest/v3")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("http is not encrypted and is taken for this machine only; write https://")
    rest, _, last = parts.path.rpartition("/")
    version = next((version for version in Version if version.value == last), None)
    if not rest.endswith("/rest") or version is None:
        raise ValueError("it must end in /rest/v1, /rest/v2 or /rest/v3, the protocol to speak")
    # Whoever reads the URL later looks for the scheme as it is usually spelled.
    url = parts.scheme + url[len(parts.scheme) :]
    return BaseUrl(url, host, port or (443 if parts.scheme == "https" else 80), version)


def call_for(record: Pour | Reading | Heartbeat, device: str, version: Version) -> Call:
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


def _is_host(host: str) -> bool:
    try:
        return bool(host.encode("idna")) and not host.startswith((".", "*"))
    except UnicodeError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
