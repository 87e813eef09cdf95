"""How many records were refused from each device, minute by minute, for the last days.

Whoever is refused has not proven who they are: a device is what a request says. So nothing is kept of who is not
registered, and of a device one number a minute, however many requests come: a flood of them writes no more than one.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from kegnet_client.hub.store import schema

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
KEPT_MS = 7 * 24 * HOUR_MS

_table = schema.refusals.c


def read_counted(connection: Connection) -> frozenset[str]:
    """The devices of which refusals are counted: those that may send."""
    devices = schema.devices.c
    return frozenset(connection.scalars(select(devices.uuid).where(devices.revoked_ms.is_(None))))


def add(connection: Connection, records: Mapping[str, int], now_ms: int) -> None:
    """Add to this minute what was refused from devices that are registered, and forget what is too old."""
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(schema.refusals)
    statement = insert.on_conflict_do_update(
        index_elements=schema.refusals.primary_key.columns, set_={"records": _table.records + insert.excluded.records}
    )
    minute = now_ms // MINUTE_MS
    # In one order, so that no two processes wait for each other.
    rows = [{"minute": minute, "device": device, "records": count} for device, count in sorted(records.items())]
    if rows:
        connection.execute(statement, rows)
    connection.execute(delete(schema.refusals).where(_table.minute < (now_ms - KEPT_MS) // MINUTE_MS))


def read_times(connection: Connection, since_ms: int) -> dict[str, Sequence[tuple[int, int]]]:
    """Of each device from which anything was refused since: when (a minute's first millisecond), and how many."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for minute, device, count in connection.execute(
        select(schema.refusals).where(_table.minute >= since_ms // MINUTE_MS).order_by(_table.minute)
    ):
        found[device].append((minute * MINUTE_MS, count))
    return dict(found)


def read_sums(connection: Connection, since_ms: int) -> Mapping[str, int]:
    """How many records were refused since, of each device of which any were."""
    statement = (
        select(_table.device, func.sum(_table.records))
        .where(_table.minute >= since_ms // MINUTE_MS)
        .group_by(_table.device)
    )
    return {device: int(count) for device, count in connection.execute(statement)}
