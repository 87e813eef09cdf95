"""The lines of a ledger: JSON objects, one a line, each of which holds the digest of itself and of all before it.

    {"line":"pours","id":5,...,"sha256":"..."}

``sha256`` is always the last member. It is that of the digest of the line before (64 digits; none before the first
line) and of this line's bytes as far as the comma before ``sha256``. So a changed byte is found in its own line, and a
line that is missing, added or moved by the next one. The last line signs the digest of the one before it with the CA's
key: whoever changes a line and all digests after it cannot sign them.

Pure: what is written and read are bytes of others.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FORMAT = "kegnet-hub-ledger"
FORMAT_VERSION = 1
MAX_LINE_BYTES = 8 * 1024 * 1024
"""More than any record, request or entry takes."""

HEAD = "ledger"
DEVICE = "device"
KEY = "key"
ENTRY = "entry"
REQUEST = "request"
END = "end"
SIGNATURE = "signature"

_TAIL_START = b',"sha256":"'
_TAIL = _TAIL_START + b'%b"}\n'
_DIGITS = 64
_START_BYTES = 100
_TAIL_BYTES = len(_TAIL % bytes(_DIGITS))


class Writer:
    """Writes the lines with ``write``."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._digest = b""
        self._counts: dict[str, int] = {}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many lines of each kind there are."""
        return self._counts

    def put(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Write a line of ``kind``."""
        body = json.dumps({"line": kind, **facts}, separators=(",", ":")).encode()[:-1]
        self._digest = _digest(self._digest, body)
        self._write(body + _TAIL % self._digest)
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def end(self, sign: Callable[[bytes], bytes]) -> None:
        """Write how many lines there were, and the signature over everything."""
        self.put(END, {"counts": dict(self._counts)})
        self.put(SIGNATURE, {"signature": base64.b64encode(sign(signed_text(self._digest))).decode()})


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is read; ``fault`` is what is wrong with it as a line, and ``facts`` are empty if it is no JSON.

    ``start`` is how it begins, for those who look for it; ``before`` is the digest that the line before it holds.
    """

    number: int
    facts: Mapping[str, Any]
    fault: str | None
    start: str
    before: bytes


def read_lines(readline: Callable[[int], bytes]) -> Iterator[Line]:
    """The lines that ``readline`` gives, each with its fault if it has one, in memory one at a time."""
    before: tuple[bytes, ...] = (b"",)
    number = 0
    while text := readline(MAX_LINE_BYTES):
        number += 1
        body, tail = text[:-_TAIL_BYTES], text[-_TAIL_BYTES:]
        digests = [_digest(one, body) for one in before]
        good = next((place for place, one in enumerate(digests) if tail == _TAIL % one), None)
        facts = _parse(body + b"}")
        fault = None if good is not None and facts is not None else _describe(text)
        yield Line(number, facts or {}, fault, text[:_START_BYTES].decode("ascii", "replace"), before[good or 0])
        stated = tail[len(_TAIL_START) :][:_DIGITS]
        # After a changed line the next one is judged by what this one was before, as far as that can be known.
        before = (stated,) if good is not None else (stated, digests[0])


def encode(value: Any) -> Any:
    """A column's value as it stands in a line: bytes in base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def decode(value: object) -> bytes:
    """The bytes of ``value``; `ValueError` if those are not what `encode` makes a text of."""
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} instead of base64")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None


def signed_text(digest: bytes) -> bytes:
    """What the CA's key signs: ``digest`` is that of the line before the signature."""
    return b"%b\n%d\n%b\n" % (FORMAT.encode(), FORMAT_VERSION, digest)


def key_statement(device: object, fingerprint: object, since_ms: object, inferred: object) -> bytes:
    """What the CA's key signs of each key of a device."""
    return f"kegnet-hub-key\n{device}\n{fingerprint}\n{since_ms}\n{inferred}\n".encode()


def _digest(before: bytes, body: bytes) -> bytes:
    return hashlib.sha256(before + body).hexdigest().encode()


def _parse(text: bytes) -> Mapping[str, Any] | None:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and isinstance(facts.get("line"), str) else None


def _describe(text: bytes) -> str:
    if len(text) == MAX_LINE_BYTES:
        return f"it has more than {MAX_LINE_BYTES} bytes"
    if not text.endswith(b"\n"):
        return "the file is cut short in it"
    return "it is not as the hub wrote it, or lines before it are missing"
