"""What is stored, verified again: from the stored bytes and keys alone, as whoever has the database could.

A row of REST v1 or v2 holds what was signed. The rows of v3 point at a request, which is verified once, and each
is compared with what that request says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, Table, select

from kegnet_client.core.errors import KegnetError, RecordError
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest import batch, forms
from kegnet_client.hub.ingest.forms import Proven, SignedRequest
from kegnet_client.hub.ingest.rows import columns_of, table_of
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.database import Database

_ROWS = 500
_REQUESTS = 8
"""How much is held in memory at a time."""
_BEFORE_ALL = -(2**63)
"""The smallest number that a row can have; the hub's own begin at 1."""

_NO_KEY = "the key that it names is not stored"
_PROOF = tuple(SignedRequest.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Verification:
    """What came out of verifying one stored row again; ``fault`` is None when all is well."""

    table: str
    id: int
    device: str
    record_id: str
    fault: str | None


def verify_stored(database: Database, device: str | None) -> Iterator[Verification]:
    """Verify every stored row, or those of ``device``: first what v1 and v2 brought, then v3, each oldest first."""
    yield from _verify_rows_of_their_own(database, device)
    yield from _verify_requests(database, device)


def _verify_rows_of_their_own(database: Database, device: str | None) -> Iterator[Verification]:
    for table in schema.RECORDS:
        statement = select(table, schema.keys.c.pem).outerjoin(schema.keys).where(table.c.request.is_(None))
        statement = _of(device, table, statement).order_by(table.c.id).limit(_ROWS)
        last_id = _BEFORE_ALL
        while rows := database.rows(statement.where(table.c.id > last_id)):
            for row in rows:
                yield _verification(table, row, _find_fault(table, row))
            last_id = rows[-1].id


def _find_fault(table: Table, row: Row[Any]) -> str | None:
    """What is wrong with a record that has its own signature: that, or its columns against the signed bytes."""
    if row.pem is None:
        return _NO_KEY
    call = "ip" if row._mapping.get("address") is not None else "pour" if table is schema.pours else "ping"
    try:
        claim = forms.reread_claim(call, Version(row.protocol), bytes(row.signed), bytes(row.signature))
        proven = forms.authenticate(claim, row.pem)
    except (RecordError, forms.RefusedError, ValueError, TypeError) as error:
        return str(error)
    return _compare(table, row, proven, claim.record_id, claim.content)


def _verify_requests(database: Database, device: str | None) -> Iterator[Verification]:
    table = schema.requests
    statement = select(table, schema.keys.c.pem).outerjoin(schema.keys).order_by(table.c.id).limit(_REQUESTS)
    last_id = _BEFORE_ALL
    while requests := database.rows(_of(device, table, statement).where(table.c.id > last_id)):
        yield from _verify_pointers(database, device, last_id, requests[-1].id, requests)
        last_id = requests[-1].id
    yield from _verify_pointers(database, device, last_id, None, ())


def _verify_pointers(
    database: Database, device: str | None, after: int, up_to: int | None, requests: Sequence[Row[Any]]
) -> Iterator[Verification]:
    """Verify the rows that point behind the request ``after``, up to ``up_to``: where ``requests`` are.

    Without ``up_to`` there were none: what came meanwhile with a request of its own is left to the next time.
    """
    proven = {request.id: _prove(request) for request in requests}
    for table in schema.RECORDS:
        statement = _of(device, table, select(table)).where(table.c.request > after).order_by(table.c.request)
        if up_to is None:
            is_its_own = select(schema.requests.c.id).where(schema.requests.c.id == table.c.request)
            statement = statement.where(~_of(device, schema.requests, is_its_own).exists())
        else:
            statement = statement.where(table.c.request <= up_to)
        for row in database.rows(statement):
            yield _verification(table, row, _find_fault_in_request(table, row, proven.get(row.request)))


def _prove(request: Row[Any]) -> Proven | str:
    """What ``request`` proves, or what is wrong with it."""
    if request.pem is None:
        return f"its request: {_NO_KEY}"
    try:
        content = {"content": bytes(request.content)}
        proof = SignedRequest(**{name: request._mapping[name] for name in _PROOF} | content)
        proven = batch.Batch(request.device, proof).prove((request.pem,), request.received_ms)
    except (KegnetError, ValueError, TypeError) as error:
        return f"its request: {error}"
    return proven if proven.key_fingerprint == request.key else "its request: the stored key is not the one it names"


def _find_fault_in_request(table: Table, row: Row[Any], proven: Proven | str | None) -> str | None:
    if proven is None:
        return "its request is not stored"
    if isinstance(proven, str):
        return proven
    content = dict(proven.records).get(row.record_id)
    return "its request does not hold it" if content is None else _compare(table, row, proven, row.record_id, content)


def _compare(table: Table, row: Row[Any], proven: Proven, record_id: str, content: forms.Content) -> str | None:
    signed = {
        **columns_of(content),
        "device": proven.device,
        "record_id": record_id,
        "protocol": proven.version.value,
        "key": proven.key_fingerprint,
    }
    changed = [name for name, value in signed.items() if row._mapping.get(name) != value]
    if table_of(content) is not table or changed:
        return f"the columns {', '.join(changed)} do not hold what was signed"
    return None


def _of(device: str | None, table: Table, statement: Select[Any]) -> Select[Any]:
    return statement if device is None else statement.where(table.c.device == device.lower())


def _verification(table: Table, row: Row[Any], fault: str | None) -> Verification:
    return Verification(table.name, row.id, row.device, row.record_id, fault)
