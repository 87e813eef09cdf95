"""What follows from new records, in their own transaction: the sums of days and hours, and the news for subscribers.

A pour is told with its volume, tap and keg as they are by then; an entry that comes later changes those, and is told
itself. Records are told in groups of a commit, because a device that was away for a week brings thousands.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func
from sqlalchemy.dialects import postgresql, sqlite

from kegnet_client.core.records import Pour, Reading
from kegnet_client.hub.domain.periods import Periods
from kegnet_client.hub.ingest.forms import Content, NamelessReading
from kegnet_client.hub.store import events, periods, schema

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
POURS = "pours"
TEMPERATURES = "temperatures"
_MAX_TOLD = 100

New = tuple[int, str, Content]
"""A new record: its row, its device, and what it says."""


def follow_up(connection: Connection, new: Sequence[New], now_ms: int) -> None:
    """Add ``new`` to the sums, and tell them."""
    pours = [(row, device, content) for row, device, content in new if isinstance(content, Pour)]
    readings = [
        (row, device, content) for row, device, content in new if isinstance(content, Reading | NamelessReading)
    ]
    _add(connection, schema.pours_by_day, _days((device, pour) for _, device, pour in pours))
    _add(connection, schema.readings_by_hour, _hours((device, reading) for _, device, reading in readings))
    holding = periods.read(connection, {device for _, device, _ in pours}) if pours else Periods(())
    news: list[events.News] = []
    news += ((POURS, {"pours": group}) for group in _groups([_pour(*one, holding) for one in pours]))
    news += ((TEMPERATURES, {"temperatures": group}) for group in _groups([_reading(*one) for one in readings]))
    events.append(connection, now_ms, news)


def _days(pours: Iterable[tuple[str, Pour]]) -> list[dict[str, Any]]:
    """A row for each meter and day: many pours of a batch are of one."""
    rows: dict[tuple[str, int, int], dict[str, Any]] = {}
    for device, pour in pours:
        key = (device, pour.pin, pour.started_ms // DAY_MS)
        names = dict(zip(("device", "pin", "day"), key, strict=True))
        row = rows.setdefault(key, {**names, "pours": 0, "pulses": 0})
        row["pours"] += 1
        row["pulses"] += pour.pulses
    return list(rows.values())


def _hours(readings: Iterable[tuple[str, Reading | NamelessReading]]) -> list[dict[str, Any]]:
    """A row for each sensor and hour."""
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    for device, reading in readings:
        value = reading.millidegrees
        key = (device, _sensor(reading) or "", reading.taken_ms // HOUR_MS)
        row = rows.get(key)
        if row is None:
            names = dict(zip(("device", "sensor", "hour"), key, strict=True))
            rows[key] = {**names, "readings": 1, "lowest": value, "highest": value, "total": value}
        else:
            row["readings"] += 1
            row["lowest"], row["highest"] = min(row["lowest"], value), max(row["highest"], value)
            row["total"] += value
    return list(rows.values())


def _add(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(_adding(table, connection.dialect.name), rows)


# Made once: SQLAlchemy takes longer to put them together than the database to answer.
@functools.cache
def _adding(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """The statement that adds a row to that of its key."""
    is_sqlite = dialect == "sqlite"
    insert = (sqlite.insert if is_sqlite else postgresql.insert)(table)
    new, old = insert.excluded, table.c
    if table is schema.pours_by_day:
        changed = {"pours": old.pours + new.pours, "pulses": old.pulses + new.pulses}
    else:
        lesser, greater = (func.min, func.max) if is_sqlite else (func.least, func.greatest)
        changed = {
            "readings": old.readings + new.readings,
            "lowest": lesser(old.lowest, new.lowest),
            "highest": greater(old.highest, new.highest),
            "total": old.total + new.total,
        }
    return insert.on_conflict_do_update(index_elements=table.primary_key.columns, set_=changed)


def _pour(row: int, device: str, pour: Pour, holding: Periods) -> dict[str, Any]:
    period = holding.at(device, pour.pin, pour.started_ms)
    per_pulse = None if period is None else period.nanolitres_per_pulse
    return {
        "id": row,
        "device": device,
        "pin": pour.pin,
        "pulses": pour.pulses,
        "elapsed_ms": pour.elapsed_ms,
        "started_ms": pour.started_ms,
        "volume_nl": None if per_pulse is None else pour.pulses * per_pulse,
        "tap": None if period is None else period.tap,
        "keg": None if period is None else period.keg,
    }


def _reading(row: int, device: str, reading: Reading | NamelessReading) -> dict[str, Any]:
    return {
        "id": row,
        "device": device,
        "sensor": _sensor(reading),
        "millidegrees": reading.millidegrees,
        "taken_ms": reading.taken_ms,
    }


def _sensor(reading: Reading | NamelessReading) -> str | None:
    return reading.sensor if isinstance(reading, Reading) else None


def _groups(items: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return (items[start : start + _MAX_TOLD] for start in range(0, len(items), _MAX_TOLD))
