"""What holds at a meter when: its calibration, its tap and the keg there, as a table that the database can join.

A meter is a pin of a device. Its periods never overlap; where there is none, nothing is known of it. The table is made
anew from the entries whenever one of them concerns a meter, in that entry's transaction.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select

from kegnet_client.hub.store import schema

Meter = tuple[str, int]
"""A device's uuid and a pin."""


@dataclass(frozen=True, slots=True)
class Period:
    """What holds at a meter from ``from_ms`` until before ``until_ms``; None is not known."""

    device: str
    pin: int
    from_ms: int
    until_ms: int
    nanolitres_per_pulse: int | None
    tap: int | None
    keg: int | None


class Periods:
    """The periods of some meters, to be looked up by time."""

    def __init__(self, periods: Iterable[Period]) -> None:
        self._by_meter: dict[Meter, list[Period]] = defaultdict(list)
        for period in sorted(periods, key=lambda one: one.from_ms):
            self._by_meter[period.device, period.pin].append(period)

    def at(self, device: str, pin: int, time_ms: int) -> Period | None:
        """What holds then, if anything does."""
        periods = self._by_meter.get((device, pin), [])
        place = bisect_right(periods, time_ms, key=lambda one: one.from_ms) - 1
        return periods[place] if place >= 0 and time_ms < periods[place].until_ms else None


def read(connection: Connection, devices: Collection[str] | None = None) -> Periods:
    """The periods of every meter, or of those of ``devices``."""
    table = schema.meter_periods.c
    statement = select(
        table.device, table.pin, table.from_ms, table.until_ms, table.nanolitres_per_pulse, table.tap, table.keg
    )
    if devices is not None:
        statement = statement.where(table.device.in_(list(devices)))
    return Periods(Period(*row) for row in connection.execute(statement))


def replace(connection: Connection, periods: Iterable[Period]) -> None:
    """Let ``periods`` be all that there are."""
    connection.execute(delete(schema.meter_periods))
    rows = [asdict(period) for period in periods]
    if rows:
        connection.execute(insert(schema.meter_periods), rows)
