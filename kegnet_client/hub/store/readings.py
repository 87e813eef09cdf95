"""Temperatures for charts and pages: a bounded number of points, whatever the time they are of.

The database makes them: of readings for days, and for more of the sums of hours that it has at hand
(`schema.readings_by_hour`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Row, Select, cast, distinct, func, literal, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from kegnet_client.core.records import LAST_MS
from kegnet_client.hub.store import schema

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_RECENT_MS = 30 * DAY_MS
"""A sensor that gave nothing for so long is none any more."""
MAX_READINGS = 50_000
"""Where there are more in more than a day, the sums of hours are enough."""
MAX_BUCKETS = 10_000

Point = tuple[int, float]
"""A time and millidegrees Celsius."""


def read_sensors(connection: Connection, now_ms: int) -> list[str]:
    """The sensors that gave something of late, in the order of their names."""
    hours = schema.readings_by_hour.c
    recent = select(hours.sensor).where(hours.sensor != "", hours.hour >= (now_ms - _RECENT_MS) // HOUR_MS)
    return sorted(connection.scalars(recent.distinct()))


def read_gone(connection: Connection, now_ms: int) -> list[str]:
    """The sensors that are none any more, but were as long ago as twice that."""
    hours = schema.readings_by_hour.c
    ended = (now_ms - _RECENT_MS) // HOUR_MS
    known = select(hours.sensor).where(hours.sensor != "", hours.hour >= ended - _RECENT_MS // HOUR_MS)
    return sorted(connection.scalars(known.group_by(hours.sensor).having(func.max(hours.hour) < ended)))


def read_last_told(connection: Connection, sensor: str) -> Row[Any] | None:
    """The last reading of ``sensor``: ``taken_ms``, ``millidegrees``, and the ``name`` of the device that sent it."""
    table, devices = schema.temperatures.c, schema.devices.c
    joined = schema.temperatures.join(schema.devices, table.device == devices.uuid)
    statement = select(table.taken_ms, table.millidegrees, devices.name).select_from(joined)
    newest: Select[Any] = statement.where(table.sensor == sensor).order_by(table.taken_ms.desc(), table.id.desc())
    return connection.execute(newest.limit(1)).first()


def read_last(connection: Connection, sensor: str) -> tuple[int, int] | None:
    """When ``sensor`` was read last, and the millidegrees Celsius."""
    table = schema.temperatures.c
    statement = select(table.taken_ms, table.millidegrees).where(table.sensor == sensor)
    row = connection.execute(statement.order_by(table.taken_ms.desc(), table.id.desc()).limit(1)).first()
    return None if row is None else (row.taken_ms, row.millidegrees)


@dataclass(frozen=True, slots=True)
class Span:
    """From when until before when, as far as it is said; of a device, a sensor, or of all."""

    since_ms: int | None = None
    until_ms: int | None = None
    device: str | None = None
    sensor: str | None = None


def select_buckets(connection: Connection, span: Span, points: int, most: int = MAX_BUCKETS) -> Select[Any]:
    """The lowest, highest and mean reading of each device and sensor in at most ``points`` equal parts of ``span``.

    The parts begin at ``at_ms`` and cover what there are readings of. Where those are of more than a day and more than
    `MAX_READINGS`, parts are whole hours, of which the first and the last one count as a whole. All together there are
    at most ``most``, in longer parts.
    """
    hours = schema.readings_by_hour.c
    series_of = distinct(hours.device.concat(hours.sensor))
    extent = select(
        func.min(hours.hour),
        func.max(hours.hour),
        func.count(series_of),
        func.coalesce(func.sum(hours.readings), 0),
    ).where(*_hours_of(span))
    first, last, series, count = connection.execute(extent).one()
    since_ms = max(span.since_ms or 0, (first or 0) * HOUR_MS)
    until_ms = min(LAST_MS + 1 if span.until_ms is None else span.until_ms, ((last or 0) + 1) * HOUR_MS)
    length_ms = max(1, until_ms - since_ms)
    parts = max(1, min(points, most // max(1, series)))
    width_ms = -(-length_ms // parts)
    if length_ms > DAY_MS and count > MAX_READINGS:
        first_hour = since_ms // HOUR_MS
        width = -(-(-(-until_ms // HOUR_MS) - first_hour) // parts)
        place = (hours.hour - first_hour) // max(1, width)
        at_ms = cast(place, BigInteger) * (max(1, width) * HOUR_MS) + first_hour * HOUR_MS
        sensor: ColumnElement[str] = func.nullif(hours.sensor, "")
        values: Sequence[ColumnElement[Any]] = (hours.readings, hours.lowest, hours.highest, hours.total)
        which: Sequence[ColumnElement[bool]] = (*_hours_of(span), hours.hour < -(-until_ms // HOUR_MS))
        device = hours.device
    else:
        table = schema.temperatures.c
        device, sensor, value = table.device, table.sensor, table.millidegrees
        at_ms = (table.taken_ms - since_ms) // width_ms * width_ms + since_ms
        values = (literal(1, BigInteger), value, value, cast(value, BigInteger))
        which = (table.taken_ms >= since_ms, table.taken_ms < until_ms, *_equal(table, span))
    grouped = (
        select(
            device,
            sensor.label("sensor"),
            at_ms.label("at_ms"),
            cast(func.sum(values[0]), BigInteger).label("readings"),
            func.min(values[1]).label("min_millidegrees"),
            func.max(values[2]).label("max_millidegrees"),
            cast(func.round(func.sum(values[3]) / func.sum(values[0])), BigInteger).label("mean_millidegrees"),
        )
        .where(*which)
        .group_by(device, sensor, at_ms)
        .subquery()
    )
    columns = grouped.c
    number = func.row_number().over(order_by=(columns.at_ms, columns.device, columns.sensor))
    return select(*columns, cast(number, BigInteger).label("id"))


def _hours_of(span: Span) -> list[ColumnElement[bool]]:
    hours = schema.readings_by_hour.c
    found = _equal(hours, span)
    if span.since_ms is not None:
        found.append(hours.hour >= span.since_ms // HOUR_MS)
    if span.until_ms is not None:
        found.append(hours.hour < -(-span.until_ms // HOUR_MS))
    return found


def _equal(columns: ReadOnlyColumnCollection[str, Column[Any]], span: Span) -> list[ColumnElement[bool]]:
    asked = {"device": span.device, "sensor": span.sensor}
    return [columns[name] == value for name, value in asked.items() if value is not None]


def read_points(
    connection: Connection, since_ms: int, until_ms: int, most: int, sensor: str | None = None
) -> Iterator[tuple[str | None, int, float]]:
    """Sensor, time and mean, of ``sensor`` or of all, ``most`` all together, in the order of times."""
    buckets = select_buckets(connection, Span(since_ms, until_ms, sensor=sensor), most, most)
    for row in connection.execute(buckets.order_by(buckets.selected_columns["id"])):
        yield row.sensor, row.at_ms, row.mean_millidegrees


def thin(points: list[Point], most: int) -> list[Point]:
    """``points``, or of each group of neighbours their mean, so that there are at most ``most``."""
    width = -(-len(points) // most)
    if width <= 1:
        return points
    groups = [points[start : start + width] for start in range(0, len(points), width)]
    return [(group[0][0], sum(value for _, value in group) / len(group)) for group in groups]
