"""What was sent becomes rows: many submissions in one transaction, each judged for itself.

The devices are looked up in the transaction that stores their records, which no other writer can enter: a device
added or revoked by another process counts from the next transaction on, and nothing of one revoked slips through.
A submission that is refused changes nothing for its neighbours.

A record is new where there is none of its device with its id, whatever protocol brought that one, and none that another
version of the protocol made of it (`kegnet_client.hub.ingest.same_record`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest import forms
from kegnet_client.hub.ingest.contents import columns_of, kind_of
from kegnet_client.hub.ingest.follow_up import New, follow_up
from kegnet_client.hub.ingest.forms import Address, Proven, SignedString
from kegnet_client.hub.ingest.same_record import find_known
from kegnet_client.hub.store import database, schema
from kegnet_client.hub.store.devices import Device, select_devices


class Submission(Protocol):
    """What someone says is from ``device`` (a lower-case uuid); not more than ``max_records`` of them."""

    @property
    def device(self) -> str: ...

    @property
    def max_records(self) -> int: ...

    def prove(self, keys_pem: Sequence[str], now_ms: int) -> Proven:
        """What one of the device's keys did sign; `RefusedError` where none did."""
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a submission that was taken: for each of its records, whether it is new."""

    device_name: str
    proven: Proven
    is_new: tuple[bool, ...]


_Key = tuple[Table, str, str]
"""A record's table, device and id."""
_Rows = dict[_Key, int]
"""The new records, with their rows."""

Outcome = Receipt | Exception
"""An exception is about its own submission, of which nothing was stored."""


def ingest(connection: Connection, submissions: Sequence[Submission], now_ms: int) -> list[Outcome]:
    """Store what ``submissions`` prove to be from their devices; an outcome for each."""
    devices = _lock_devices(connection, {one.device for one in submissions})
    judged = [_judge(one, devices.get(one.device), now_ms) for one in submissions]
    proven = [one for one in judged if isinstance(one, Proven)]
    proofs = [_keep_proof(connection, one, now_ms) for one in proven]
    new = _insert(connection, proven, proofs, now_ms)
    _touch(connection, proven, new, now_ms)
    follow_up(connection, list(_each_new(proven, new)), now_ms)
    is_new = [_take(new, one) for one in proven]
    _drop_requests(
        connection, [proof["request"] for proof, of_one in zip(proofs, is_new, strict=True) if not any(of_one)]
    )
    receipts = iter(is_new)
    return [
        one if isinstance(one, Exception) else Receipt(devices[one.device].name, one, next(receipts)) for one in judged
    ]


def table_of(content: forms.Content) -> Table:
    """Where ``content`` is kept."""
    return schema.metadata.tables[kind_of(content)]


def _lock_devices(connection: Connection, uuids: set[str]) -> dict[str, Device]:
    locked = connection.scalars(_LOCK, {"devices": list(uuids)}).all()
    return {row.uuid: Device(*row) for row in connection.execute(_DEVICES, {"devices": locked})}


def _judge(submission: Submission, device: Device | None, now_ms: int) -> Proven | Exception:
    try:
        if device is None:
            raise forms.RefusedError(forms.NOT_REGISTERED)
        if device.revoked_ms is not None:
            raise forms.RefusedError(forms.REVOKED)
        return submission.prove(device.keys_pem, now_ms)
    except Exception as error:
        # Whatever it is, its own sender is told, and the others of this transaction are not.
        return error


def _keep_proof(connection: Connection, proven: Proven, now_ms: int) -> dict[str, Any]:
    """The columns by which a record is verified again."""
    columns: dict[str, Any] = {"protocol": proven.version.value, "key": proven.key_fingerprint}
    if isinstance(proven.proof, SignedString):
        return {**columns, "signed": proven.proof.text, "signature": proven.proof.signature, "request": None}
    request = {**asdict(proven.proof), "device": proven.device, "key": proven.key_fingerprint, "received_ms": now_ms}
    return {**columns, "signed": b"", "signature": b"", "request": connection.execute(_REQUEST, request).scalar_one()}


def _insert(connection: Connection, proven: Sequence[Proven], proofs: Sequence[dict[str, Any]], now_ms: int) -> _Rows:
    """Insert the records that are not there; which those were."""
    new: _Rows = {}
    for version in Version:  # one after the other, because each has to find what the one before it brought
        of_version = [(one, proof) for one, proof in zip(proven, proofs, strict=True) if one.version is version]
        known = find_known(connection, [one for one, _ in of_version])
        rows: dict[Table, list[dict[str, Any]]] = {table: [] for table in schema.RECORDS}
        for one, proof in of_version:
            common = {**proof, "device": one.device, "received_ms": now_ms}
            for record_id, content in one.records:
                table = table_of(content)
                if (table, one.device, record_id) not in known:
                    rows[table].append({**common, **columns_of(content), "record_id": record_id})
        new |= {
            (table, row.device, row.record_id): row.id
            for table, of_table in rows.items()
            for row in database.insert_all(connection, table, of_table, table.c.device, table.c.record_id, table.c.id)
        }
    return new


def _each_new(proven: Sequence[Proven], new: _Rows) -> Iterator[New]:
    untold = dict(new)
    for one in proven:
        for record_id, content in one.records:
            row = untold.pop((table_of(content), one.device, record_id), None)
            if row is not None:
                yield row, one.device, content


def _take(new: _Rows, proven: Proven) -> tuple[bool, ...]:
    """For each record of ``proven`` whether it is in ``new``, where none is found twice."""
    keys = [(table_of(content), proven.device, record_id) for record_id, content in proven.records]
    # One after the other: a record that stands twice in one request is new once.
    return tuple(new.pop(key, None) is not None for key in keys)


def _drop_requests(connection: Connection, requests: Sequence[int | None]) -> None:
    """Keep no request that brought nothing new: nothing points at it, and a resend would pile them up."""
    kept = [request for request in requests if request is not None]
    if kept:
        connection.execute(_DROP, {"requests": kept})


def _touch(connection: Connection, proven: Sequence[Proven], new: _Rows, now_ms: int) -> None:
    """Note of whom something new arrived, and which address it told last."""
    if new:
        connection.execute(_SEEN, {"devices": list({device for _, device, _ in new}), "now_ms": now_ms})
    told = {
        one.device: content.address
        for one in proven
        for record_id, content in one.records
        if isinstance(content, Address) and (schema.heartbeats, one.device, record_id) in new
    }
    if told:
        connection.execute(_TOLD, [{"who": device, "told": address} for device, address in told.items()])


# Made once: SQLAlchemy takes longer to put them together than the database to answer.
_devices = schema.devices.c
_IS_ASKED = _devices.uuid.in_(bindparam("devices", expanding=True))
# SQLite has one writer anyway. PostgreSQL locks these rows, in one order, so that no two writers block each other.
# Keys are read afterwards: who waits for a lock gets the row as it has become, but joined to what was there before.
_LOCK = select(_devices.uuid).where(_IS_ASKED).order_by(_devices.id).with_for_update()
_DEVICES = select_devices().where(_IS_ASKED)
_REQUEST = insert(schema.requests).returning(schema.requests.c.id)
_SEEN = update(schema.devices).where(_IS_ASKED).values(last_seen_ms=bindparam("now_ms"))
_TOLD = update(schema.devices).where(_devices.uuid == bindparam("who")).values(address=bindparam("told"))
_DROP = delete(schema.requests).where(schema.requests.c.id.in_(bindparam("requests", expanding=True)))
