"""What was sent becomes rows: many submissions in one transaction, each judged for itself.

The devices are looked up in the transaction that stores their records, which no other writer can enter: a device
added or revoked by another process counts from the next transaction on, and nothing of one revoked slips through.
A submission that is refused changes nothing for its neighbours.

A record is new where there is none of its device with its id, whatever protocol brought that one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Table, insert, select, tuple_, update

from kegnet_client.core.records import Heartbeat, Pour
from kegnet_client.hub import database, receive, schema
from kegnet_client.hub.devices import Device, select_devices
from kegnet_client.hub.receive import Address, Proven, SignedString, Temperature


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


Outcome = Receipt | Exception
"""An exception is about its own submission, of which nothing was stored."""


def ingest(connection: Connection, submissions: Sequence[Submission], now_ms: int) -> list[Outcome]:
    """Store what ``submissions`` prove to be from their devices; an outcome for each."""
    devices = _lock_devices(connection, {one.device for one in submissions})
    judged = [_judge(one, devices.get(one.device), now_ms) for one in submissions]
    stored = _stored(connection, [one for one in judged if isinstance(one, Proven)])
    rows: dict[Table, list[dict[str, Any]]] = defaultdict(list)
    outcomes: list[Outcome] = []
    for one in judged:
        if isinstance(one, Exception):
            outcomes.append(one)
            continue
        keys = [(table_of(content), one.device, record_id) for record_id, content in one.records]
        new = tuple(key not in stored for key in keys)
        stored.update(keys)
        outcomes.append(Receipt(devices[one.device].name, one, new))
        if any(new):
            common = {**_keep_proof(connection, one, now_ms), "device": one.device, "received_ms": now_ms}
            for (record_id, content), is_new in zip(one.records, new, strict=True):
                if is_new:
                    rows[table_of(content)].append({**common, **columns_of(content), "record_id": record_id})
    for table, of_table in rows.items():
        database.insert_all(connection, table, of_table)
    _touch(connection, rows, now_ms)
    return outcomes


def table_of(content: receive.Content) -> Table:
    """Where ``content`` is kept."""
    match content:
        case Pour():
            return schema.pours
        case Temperature():
            return schema.temperatures
        case Heartbeat() | Address():
            return schema.heartbeats


def columns_of(content: receive.Content) -> dict[str, Any]:
    """What ``content`` is in its table."""
    match content:
        case Pour(pin, pulses, elapsed_ms, started_ms):
            return {"pin": pin, "pulses": pulses, "elapsed_ms": elapsed_ms, "started_ms": started_ms}
        case Temperature(millidegrees, taken_ms, sensor):
            return {"sensor": sensor, "millidegrees": millidegrees, "taken_ms": taken_ms}
        case Heartbeat(at_ms):
            return {"address": None, "at_ms": at_ms}
        case Address(address, at_ms):
            return {"address": address, "at_ms": at_ms}


def _lock_devices(connection: Connection, uuids: set[str]) -> dict[str, Device]:
    # SQLite has one writer anyway. PostgreSQL locks these rows, in one order, so that no two writers block each other.
    statement = select_devices().where(schema.devices.c.uuid.in_(uuids)).with_for_update(of=schema.devices)
    return {row.uuid: Device(**row._mapping) for row in connection.execute(statement)}


def _judge(submission: Submission, device: Device | None, now_ms: int) -> Proven | Exception:
    try:
        if device is None:
            raise receive.RefusedError(receive.NOT_REGISTERED)
        if device.revoked_ms is not None:
            raise receive.RefusedError(receive.REVOKED)
        return submission.prove(device.keys_pem, now_ms)
    except Exception as error:
        # Whatever it is, its own sender is told, and the others of this transaction are not.
        return error


def _stored(connection: Connection, proven: Iterable[Proven]) -> set[tuple[Table, str, str]]:
    """Which of the records in ``proven`` are there already."""
    asked: dict[Table, list[tuple[str, str]]] = defaultdict(list)
    for one in proven:
        for record_id, content in one.records:
            asked[table_of(content)].append((one.device, record_id))
    found: set[tuple[Table, str, str]] = set()
    for table, keys in asked.items():
        statement = select(table.c.device, table.c.record_id).where(tuple_(table.c.device, table.c.record_id).in_(keys))
        found.update((table, *row) for row in connection.execute(statement))
    return found


def _keep_proof(connection: Connection, proven: Proven, now_ms: int) -> dict[str, Any]:
    """The columns by which a record is verified again."""
    columns: dict[str, Any] = {"protocol": proven.version.value, "key": proven.key_fingerprint}
    if isinstance(proven.proof, SignedString):
        return {**columns, "signed": proven.proof.text, "signature": proven.proof.signature, "request": None}
    request = {**asdict(proven.proof), "device": proven.device, "key": proven.key_fingerprint, "received_ms": now_ms}
    statement = insert(schema.requests).returning(schema.requests.c.id)
    return {**columns, "signed": b"", "signature": b"", "request": connection.execute(statement, request).scalar_one()}


def _touch(connection: Connection, rows: dict[Table, list[dict[str, Any]]], now_ms: int) -> None:
    """Note of whom something new arrived, and which address it told last."""
    table = schema.devices
    seen = {row["device"] for of_table in rows.values() for row in of_table}
    if seen:
        connection.execute(update(table).where(table.c.uuid.in_(seen)).values(last_seen_ms=now_ms))
    told = {row["device"]: row["address"] for row in rows[schema.heartbeats] if row["address"] is not None}
    for device, address in told.items():
        connection.execute(update(table).where(table.c.uuid == device).values(address=address))
