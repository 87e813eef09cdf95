"""Temperatures for charts and pages: a bounded number of points, whatever the time they are of.

Over more than a day they are the means of hours, which the database has at hand (`schema.readings_by_hour`).
"""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from kegnet_client.hub.store import schema

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_RECENT_MS = 30 * DAY_MS
"""A sensor that gave nothing for so long is none any more."""
_MINUTE_MS = 60_000

Point = tuple[int, float]
"""A time and millidegrees Celsius."""


def read_sensors(connection: Connection, now_ms: int) -> list[str]:
    """The sensors that gave something of late, in the order of their names."""
    hours = schema.readings_by_hour.c
    recent = select(hours.sensor).where(hours.sensor != "", hours.hour >= (now_ms - _RECENT_MS) // HOUR_MS)
    return sorted(connection.scalars(recent.distinct()))


def read_last(connection: Connection, sensor: str) -> tuple[int, int] | None:
    """When ``sensor`` was read last, and the millidegrees Celsius."""
    table = schema.temperatures.c
    statement = select(table.taken_ms, table.millidegrees).where(table.sensor == sensor)
    row = connection.execute(statement.order_by(table.taken_ms.desc(), table.id.desc()).limit(1)).first()
    return None if row is None else (row.taken_ms, row.millidegrees)


def read_points(
    connection: Connection, since_ms: int, until_ms: int, sensor: str | None = None
) -> Iterator[tuple[str | None, int, float]]:
    """Sensor, time and mean, of ``sensor`` or of all, in the order of times."""
    if until_ms - since_ms <= DAY_MS:
        table = schema.temperatures.c
        width_ms = max(_MINUTE_MS, (until_ms - since_ms) // 360)
        bucket = (table.taken_ms // width_ms * width_ms).label("bucket")
        statement = (
            select(table.sensor, bucket, func.avg(table.millidegrees))
            .where(table.taken_ms >= since_ms, table.taken_ms < until_ms)
            .group_by(table.sensor, bucket)
            .order_by(bucket)
        )
        column = table.sensor
    else:
        hours = schema.readings_by_hour.c
        statement = (
            select(hours.sensor, hours.hour * HOUR_MS, func.sum(hours.total) / func.sum(hours.readings))
            .where(hours.hour >= since_ms // HOUR_MS, hours.hour <= until_ms // HOUR_MS)
            .group_by(hours.sensor, hours.hour)
            .order_by(hours.hour)
        )
        column = hours.sensor
    if sensor is not None:
        statement = statement.where(column == sensor)
    for name, time_ms, mean in connection.execute(statement):
        yield name, time_ms, float(mean)


def thin(points: list[Point], most: int) -> list[Point]:
    """``points``, or of each group of neighbours their mean, so that there are at most ``most``."""
    width = -(-len(points) // most)
    if width <= 1:
        return points
    groups = [points[start : start + width] for start in range(0, len(points), width)]
    return [(group[0][0], sum(value for _, value in group) / len(group)) for group in groups]
