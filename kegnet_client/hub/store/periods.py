"""The periods of meters (`kegnet_client.hub.domain.periods`) as a table that the database can join.

It is made anew from the entries whenever one of them concerns a meter, in that entry's transaction.
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict

from sqlalchemy import Connection, delete, insert, select

from kegnet_client.hub.domain.periods import Period, Periods
from kegnet_client.hub.store import schema


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
