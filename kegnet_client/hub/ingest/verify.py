"""What is stored, verified again: from the stored bytes and keys alone, as whoever has the database could.

A row of REST v1 or v2 holds what was signed. The rows of v3 point at a request, which is verified once: each is
compared with what the request says, and each record of the request has to have its row. And each row's device must
have had the row's key, by the table of these pairs; when that was does not matter. A pair that was only inferred, from
rows that an earlier version stored, makes its rows neither good nor faulty.

Whatever somebody has written into a row, its fault is its own: the others are verified all the same.

Limits: a row of v1 or v2 that was deleted, or a request with all its rows, is missed by nobody.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, Table, select

from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest import batch, forms
from kegnet_client.hub.ingest.contents import find_difference, other_ids
from kegnet_client.hub.ingest.forms import Proven, SignedRequest
from kegnet_client.hub.ingest.rows import table_of
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.database import Database

_ROWS = 500
_REQUESTS = 8
"""How much is held in memory at a time."""
_BEFORE_ALL = -(2**63)
"""The smallest number that a row can have; the hub's own begin at 1."""

_NO_KEY = "the key that it names is not stored"
_NOT_ITS_KEY = "its device never had the key that signed it"
_PROOF = tuple(SignedRequest.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Verification:
    """What came out of verifying one stored row again; ``fault`` is None when all is well.

    A row that is missing has no ``id``, and a request that no row points at any more no ``record_id``.
    ``is_inferred``: that its device had its key follows from nothing but such rows.
    """

    table: str
    id: int | None
    device: str
    record_id: str | None
    fault: str | None
    is_inferred: bool = False


def verify_stored(database: Database, device: str | None) -> Iterator[Verification]:
    """Verify every stored row, or those of ``device``: first what v1 and v2 brought, then v3, each oldest first."""
    pairs = _Pairs(database)
    yield from _verify_rows_of_their_own(database, pairs, device)
    yield from _verify_requests(database, pairs, device)


class _Pairs:
    """Which device had which key."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inferred: dict[tuple[str, str], bool] = {}
        self._read()

    def judge(self, table: Table, row: Row[Any], fault: str | None) -> Verification:
        """``row``, whose own proof has this ``fault`` or none."""
        pair = (row.device, row.key)
        if fault is None and pair not in self._inferred:
            self._read()  # it may have come meanwhile
            if pair not in self._inferred:
                fault = _NOT_ITS_KEY
        is_inferred = fault is None and self._inferred[pair]
        return Verification(table.name, row.id, row.device, row.record_id, fault, is_inferred)

    def _read(self) -> None:
        rows = self._database.rows(select(schema.device_keys))
        self._inferred = {(row.device, row.key): bool(row.inferred) for row in rows}


def _verify_rows_of_their_own(database: Database, pairs: _Pairs, device: str | None) -> Iterator[Verification]:
    for table in schema.RECORDS:
        statement = select(table, schema.keys.c.pem).outerjoin(schema.keys).where(table.c.request.is_(None))
        statement = _of(device, table, statement).order_by(table.c.id).limit(_ROWS)
        last_id = _BEFORE_ALL
        while rows := database.rows(statement.where(table.c.id > last_id)):
            for row in rows:
                yield pairs.judge(table, row, _find_fault(table, row))
            last_id = rows[-1].id


def _find_fault(table: Table, row: Row[Any]) -> str | None:
    """What is wrong with a record that has its own signature: that, or its columns against the signed bytes."""
    if row.pem is None:
        return _NO_KEY
    call = "ip" if row._mapping.get("address") is not None else "pour" if table is schema.pours else "ping"
    try:
        claim = forms.reread_claim(call, Version(row.protocol), _bytes(row.signed), _bytes(row.signature))
        proven = forms.authenticate(claim, row.pem)
    except Exception as error:
        # Anything may stand there, and whatever it leads to is this row's fault alone.
        return _tell(error)
    return find_difference(row._asdict(), table.name, proven, claim.record_id, claim.content)


def _verify_requests(database: Database, pairs: _Pairs, device: str | None) -> Iterator[Verification]:
    table = schema.requests
    statement = select(table, schema.keys.c.pem).outerjoin(schema.keys).order_by(table.c.id).limit(_REQUESTS)
    last_id = _BEFORE_ALL
    while requests := database.rows(_of(device, table, statement).where(table.c.id > last_id)):
        yield from _verify_pointers(database, pairs, device, last_id, requests[-1].id, requests)
        last_id = requests[-1].id
    yield from _verify_pointers(database, pairs, device, last_id, None, ())


def _verify_pointers(
    database: Database, pairs: _Pairs, device: str | None, after: int, up_to: int | None, requests: Sequence[Row[Any]]
) -> Iterator[Verification]:
    """Verify the rows that point behind the request ``after``, up to ``up_to``: where ``requests`` are.

    Without ``up_to`` there were none: what came meanwhile with a request of its own is left to the next time.
    """
    proven = {request.id: _prove(request) for request in requests}
    found: set[_Record] = set()
    pointed_at = set()
    for table in schema.RECORDS:
        statement = _of(device, table, select(table)).where(table.c.request > after).order_by(table.c.request)
        if up_to is None:
            is_its_own = select(schema.requests.c.id).where(schema.requests.c.id == table.c.request)
            statement = statement.where(~_of(device, schema.requests, is_its_own).exists())
        else:
            statement = statement.where(table.c.request <= up_to)
        for row in database.rows(statement):
            found.add((table, row.device, row.record_id))
            pointed_at.add(row.request)
            yield pairs.judge(table, row, _find_fault_in_request(table, row, proven.get(row.request)))
    yield from _find_missing(database, proven, found)
    for request in requests:
        fault = proven[request.id]
        if isinstance(fault, str) and request.id not in pointed_at:
            yield Verification(schema.requests.name, request.id, request.device, None, fault)


_Record = tuple[Table, str, str]
"""A record's table, device and id."""


def _find_missing(database: Database, proven: dict[int, Proven | str], found: set[_Record]) -> Iterator[Verification]:
    """The records of requests that have no row, not even one that another request or another version brought first."""
    missing: dict[tuple[Table, str], dict[str, tuple[int, dict[str, tuple[str, ...]]]]] = defaultdict(dict)
    for request, one in proven.items():
        if isinstance(one, str):
            continue
        for record_id, content in one.records:
            if (table_of(content), one.device, record_id) not in found:
                other = other_ids(one.device, content)
                missing[table_of(content), one.device].setdefault(record_id, (request, other))
    for (table, device), records in missing.items():
        for first in range(0, len(records), _ROWS):
            asked = list(records.items())[first : first + _ROWS]
            all_ids = {one for record_id, (_, other) in asked for one in (record_id, *other)}
            is_asked = (table.c.device == device) & table.c.record_id.in_(all_ids)
            rows = database.rows(select(table.c.record_id, table.c.protocol).where(is_asked))
            protocols = {row.record_id: row.protocol for row in rows}
            for record_id, (request, other) in asked:
                is_there = record_id in protocols or any(protocols.get(one) in by for one, by in other.items())
                if not is_there:
                    fault = f"it is missing: the request {request} holds it"
                    yield Verification(table.name, None, device, record_id, fault)


def _prove(request: Row[Any]) -> Proven | str:
    """What ``request`` proves, or what is wrong with it."""
    if request.pem is None:
        return f"its request: {_NO_KEY}"
    try:
        content = {"content": _bytes(request.content)}
        proof = SignedRequest(**{name: request._mapping[name] for name in _PROOF} | content)
        proven = batch.Batch(request.device, proof).prove((request.pem,), request.received_ms)
    except Exception as error:
        # As above: it is the fault of its own rows alone.
        return f"its request: {_tell(error)}"
    return proven if proven.key_fingerprint == request.key else "its request: the stored key is not the one it names"


def _find_fault_in_request(table: Table, row: Row[Any], proven: Proven | str | None) -> str | None:
    if proven is None:
        return "its request is not stored"
    if isinstance(proven, str):
        return proven
    content = dict(proven.records).get(row.record_id)
    if content is None:
        return "its request does not hold it"
    return find_difference(row._asdict(), table.name, proven, row.record_id, content)


def _of(device: str | None, table: Table, statement: Select[Any]) -> Select[Any]:
    return statement if device is None else statement.where(table.c.device == device.lower())


def _bytes(value: object) -> bytes:
    # SQLite takes a number there, too, of which bytes() would make as many zeros.
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} instead of bytes")
    return value


def _tell(error: Exception) -> str:
    return str(error) or type(error).__name__
