"""Proves a ledger, with nothing but the file: no database, no hub, no network.

Each record's signature is verified with its device's key, as when it arrived; each key is one that the CA's key vouches
for; the chain of digests and the CA's signature over it show that no line was changed, taken out, added or moved since
the hub wrote it. Each record of a request has to have its row, in the ledger no record stands twice, and there are as
many lines of each kind as the hub counted.

What no file can show by itself, is said by whoever prints the result: whose the CA is (`Check` takes a certificate to
compare with), and what was taken out of the hub's database before it wrote the ledger, unless a request of REST v3
still holds it. What people said is the hub's word: entries have no signature of their own.

Memory is bounded: which records there were is kept in a temporary file (SQLite's), the rest a line at a time.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from kegnet_client.core.errors import KegnetError
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub import pki
from kegnet_client.hub.ingest import batch, contents, forms
from kegnet_client.hub.ingest.contents import find_difference
from kegnet_client.hub.ingest.forms import Content, Proven, SignedRequest
from kegnet_client.hub.ledger import lines
from kegnet_client.hub.ledger.lines import Line
from kegnet_client.keys import is_signed, key_fingerprint, load_public_key

_HEADERS = tuple(name for name in SignedRequest.__dataclass_fields__ if name != "content")
_CACHE_KIB = 16 * 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the line ``number`` (from 1), which is about ``what``; 0 is the whole file."""

    number: int
    what: str
    text: str

    def __str__(self) -> str:
        place = ", ".join(part for part in (f"line {self.number}" if self.number else "", self.what) if part)
        return f"{place}: {self.text}" if place else self.text


@dataclass(frozen=True, slots=True)
class _Key:
    pem: str
    is_inferred: bool


class _Request:
    """The request whose records come now: its line, its number, what it proves or what is wrong with it."""

    def __init__(self, number: int, row_id: object, proven: Proven | str) -> None:
        self.number = number
        self.id = row_id
        self.proven = proven
        self.untold = {} if isinstance(proven, str) else dict(proven.records)


class Check:
    """The check of one ledger. ``trusted_ca_pem`` is the CA's certificate that it has to be signed with, if known."""

    def __init__(self, trusted_ca_pem: bytes | None = None) -> None:
        self._trusted_der = None if trusted_ca_pem is None else pki.ca_der(trusted_ca_pem)
        self._ca: ec.EllipticCurvePublicKey | None = None
        self._keys: dict[tuple[object, object], _Key] = {}
        self._request: _Request | None = None
        self._stated: Mapping[str, Any] | None = None
        self._is_signed = False
        self.counts: Counter[str] = Counter()
        """How many lines of each kind there were."""
        self.inferred = 0
        """How many records are neither proven nor faulty: nobody has noted down that their device had their key."""
        self.made_ms: int | None = None
        self.ca_der: bytes | None = None

    def run(self, readline: Callable[[int], bytes]) -> Iterator[Fault]:
        """All that is wrong with what ``readline`` gives."""
        with closing(_Seen()) as seen:
            for line in lines.read_lines(readline):
                yield from self._judge_line(line, seen)
            if not self._is_signed:
                yield Fault(0, "", "its end is missing: the CA's signature is not there, or does not hold")
            self._leave_request(seen)
            yield from seen.find_missing()

    def _judge_line(self, line: Line, seen: "_Seen") -> Iterator[Fault]:
        kind = str(line.facts.get("line", ""))
        what = _describe(kind, line.facts) if line.facts else f"which begins {line.start!r}"

        def fault(text: str) -> Fault:
            return Fault(line.number, what, text)

        if line.fault is not None:
            yield fault(line.fault)
        if self._is_signed:
            yield fault("it stands behind the signature")
        if (kind == lines.HEAD) != (line.number == 1) and (line.facts or line.number == 1):
            yield fault("a ledger has its head in its first line, and nowhere else")
        try:
            text = self._take(kind, line, seen)
        except Exception as error:
            # Anything may stand there, and whatever it leads to is this line's fault alone.
            text = str(error) or type(error).__name__
        if text is not None and line.facts:
            yield fault(text)
        if kind not in (lines.END, lines.SIGNATURE):
            self.counts[kind or "unreadable"] += 1

    def _take(self, kind: str, line: Line, seen: "_Seen") -> str | None:
        """What is wrong with what the line says."""
        facts = line.facts
        if kind in contents.KINDS:
            return self._judge_record(kind, line, seen)
        match kind:
            case lines.HEAD:
                return self._read_head(facts)
            case lines.KEY:
                return self._read_key(facts)
            case lines.REQUEST:
                self._leave_request(seen)
                proven = self._prove(facts)
                self._request = _Request(line.number, facts["id"], proven)
                return proven if isinstance(proven, str) else None
            case lines.DEVICE | lines.ENTRY:
                return None
            case lines.END:
                self._stated = facts["counts"]
                if self._stated != dict(self.counts):
                    return f"the hub wrote {_list(facts['counts'])}; here are {_list(self.counts)}"
                return None
            case lines.SIGNATURE:
                return self._judge_signature(line)
            case _:
                return "there is no such kind of line"

    def _read_head(self, facts: Mapping[str, Any]) -> str | None:
        if facts["format"] != lines.FORMAT:
            return "this is no ledger of a hub"
        if facts["version"] != lines.FORMAT_VERSION:
            return "it was written by a newer version of kegnet-client: update this one"
        self.made_ms = int(facts["made_ms"])
        pem = facts["ca"].encode()
        self.ca_der, self._ca = pki.ca_der(pem), pki.ca_public_key(pem)
        if self._trusted_der not in (None, self.ca_der):
            return "it is the ledger of another hub: its CA is not the one that was named"
        return None

    def _read_key(self, facts: Mapping[str, Any]) -> str | None:
        device, fingerprint, pem = facts["device"], facts["key"], facts["pem"]
        load_public_key(pem.encode())
        if key_fingerprint(pem) != fingerprint:
            return "its fingerprint is another key's"
        statement = lines.key_statement(device, fingerprint, facts["since_ms"], facts["inferred"])
        if self._ca is None or not is_signed(self._ca, lines.decode(facts["vouched"]), statement):
            return "the CA does not vouch for it"
        self._keys[device, fingerprint] = _Key(pem, bool(facts["inferred"]))
        return None

    def _judge_record(self, kind: str, line: Line, seen: "_Seen") -> str | None:
        row = line.facts
        key = self._keys.get((row["device"], row["key"]))
        if not seen.add(kind, row["device"], row["record_id"], row["protocol"]):
            return "the record stands in the ledger twice"
        if key is None:
            return "the CA vouches for no such key of its device"
        fault = _judge_own(kind, row, key.pem) if row.get("request") is None else self._judge_pointer(kind, row)
        self.inferred += fault is None and key.is_inferred
        return fault

    def _judge_pointer(self, kind: str, row: Mapping[str, Any]) -> str | None:
        request = self._request
        if request is None or row["request"] != request.id:
            return "the request that it came with does not stand before it"
        if isinstance(request.proven, str):
            return f"its request: {request.proven}"
        content = request.untold.pop(row["record_id"], None)
        if content is None:
            return "its request does not hold it"
        return find_difference(row, kind, request.proven, row["record_id"], content)

    def _leave_request(self, seen: "_Seen") -> None:
        """What the request holds without a row behind it has to be somewhere else."""
        if self._request is not None and not isinstance(self._request.proven, str):
            for record_id, content in self._request.untold.items():
                seen.expect(self._request.number, self._request.proven.device, record_id, content)
        self._request = None

    def _prove(self, row: Mapping[str, Any]) -> Proven | str:
        key = self._keys.get((row["device"], row["key"]))
        if key is None:
            return "the CA vouches for no such key of its device"
        try:
            proof = SignedRequest(**{name: row[name] for name in _HEADERS}, content=lines.decode(row["content"]))
            return batch.Batch(row["device"], proof).prove((key.pem,), row["received_ms"])
        except KegnetError as error:
            return str(error)

    def _judge_signature(self, line: Line) -> str | None:
        signature = lines.decode(line.facts["signature"])
        if self._stated is None:
            return "the line that counts the others does not stand before it"
        if self._ca is None or not is_signed(self._ca, signature, lines.signed_text(line.before)):
            return "the hub's CA has not signed this: the ledger was changed after the hub wrote it"
        self._is_signed = True
        return None


class _Seen:
    """Which records there were, and which ones a request holds without their rows beside it."""

    def __init__(self) -> None:
        # Without a name it is a temporary file, which SQLite begins only when its cache is full.
        self._database = sqlite3.connect("", isolation_level=None)
        for statement in (
            f"PRAGMA cache_size = -{_CACHE_KIB}",
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "CREATE TABLE seen (kind, device, record_id, protocol, PRIMARY KEY (kind, device, record_id))"
            " WITHOUT ROWID",
            "CREATE TABLE expected (line, kind, device, record_id, candidate, protocol)",
            "BEGIN",
        ):
            self._database.execute(statement)

    def close(self) -> None:
        """Forget them."""
        self._database.close()

    def add(self, kind: str, device: str, record_id: str, protocol: str) -> bool:
        """Note a record; whether it is new."""
        values = (kind, device, record_id, protocol)
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?)", values).rowcount == 1

    def expect(self, number: int, device: str, record_id: str, content: Content) -> None:
        """The request in the line ``number`` holds this record, which another request or version must have brought."""
        candidates = {record_id: (None,), **contents.other_ids(device, content)}
        self._database.executemany(
            "INSERT INTO expected VALUES (?, ?, ?, ?, ?, ?)",
            [
                (number, contents.kind_of(content), device, record_id, candidate, protocol)
                for candidate, protocols in candidates.items()
                for protocol in protocols
            ],
        )

    def find_missing(self) -> Iterator[Fault]:
        """The records that were to be there and are not."""
        for number, kind, device, record_id in self._database.execute(_MISSING):
            yield Fault(
                number, f"{lines.REQUEST} of {device}", f"it holds the record {record_id} of {kind}, which is missing"
            )


_MISSING = """
    SELECT line, kind, device, record_id FROM expected GROUP BY line, kind, device, record_id
    HAVING NOT max(EXISTS (
        SELECT 1 FROM seen WHERE seen.kind = expected.kind AND seen.device = expected.device
        AND seen.record_id = expected.candidate AND coalesce(expected.protocol, seen.protocol) = seen.protocol
    ))
    ORDER BY line
"""


def _judge_own(kind: str, row: Mapping[str, Any], pem: str) -> str | None:
    """What is wrong with a record that has a signature of its own."""
    call = "ip" if row.get("address") is not None else "pour" if kind == contents.POURS else "ping"
    signed, signature = lines.decode(row["signed"]), lines.decode(row["signature"])
    claim = forms.reread_claim(call, Version(row["protocol"]), signed, signature)
    return find_difference(row, kind, forms.authenticate(claim, pem), claim.record_id, claim.content)


def _describe(kind: str, facts: Mapping[str, Any]) -> str:
    """What the line is about, whatever stands there: on one line, and not for long."""
    parts = [kind, *(str(facts[name]) for name in ("id", "uuid") if name in facts)]
    if "device" in facts:
        parts.append(f"of {facts['device']}")
    record = f", record {facts['record_id']}" if "record_id" in facts else ""
    return f"{' '.join(parts)}{record}"[:200].encode("ascii", "backslashreplace").decode()


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing"
