"""What people say, what follows from it, what is new, and the sums of what there is already."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Text

revision = "0003"
down_revision = "0002"

_ROW_ID = BigInteger().with_variant(Integer, "sqlite")

_DAYS = """
    INSERT INTO pours_by_day (device, pin, day, pours, pulses)
    SELECT device, pin, started_ms / 86400000, COUNT(*), SUM(pulses) FROM pours
    WHERE device IN (SELECT uuid FROM devices)
    GROUP BY device, pin, started_ms / 86400000
"""
_HOURS = """
    INSERT INTO readings_by_hour (device, sensor, hour, readings, lowest, highest, total)
    SELECT device, COALESCE(sensor, ''), taken_ms / 3600000, COUNT(*), MIN(millidegrees), MAX(millidegrees),
        SUM(millidegrees)
    FROM temperatures
    WHERE device IN (SELECT uuid FROM devices)
    GROUP BY device, COALESCE(sensor, ''), taken_ms / 3600000
"""


def upgrade() -> None:
    """Make the tables, and the sums."""
    op.create_table(
        "pours_by_day",
        Column("device", String(36), ForeignKey("devices.uuid"), primary_key=True),
        Column("pin", Integer, primary_key=True),
        Column("day", Integer, primary_key=True),
        Column("pours", BigInteger, nullable=False),
        Column("pulses", BigInteger, nullable=False),
    )
    op.create_table(
        "readings_by_hour",
        Column("device", String(36), ForeignKey("devices.uuid"), primary_key=True),
        Column("sensor", String(15), primary_key=True),
        Column("hour", Integer, primary_key=True),
        Column("readings", BigInteger, nullable=False),
        Column("lowest", Integer, nullable=False),
        Column("highest", Integer, nullable=False),
        Column("total", BigInteger, nullable=False),
    )
    op.create_table(
        "entries",
        Column("id", _ROW_ID, primary_key=True),
        Column("kind", String(20), nullable=False),
        Column("subject", BigInteger, nullable=False),
        Column("body", Text, nullable=False),
        Column("said_by", String(100), nullable=False),
        Column("recorded_ms", BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("entries_by_subject", "entries", ["kind", "subject", "id"])
    op.create_table(
        "meter_periods",
        Column("device", String(36), primary_key=True),
        Column("pin", Integer, primary_key=True),
        Column("from_ms", BigInteger, primary_key=True),
        Column("until_ms", BigInteger, nullable=False),
        Column("nanolitres_per_pulse", BigInteger),
        Column("tap", BigInteger),
        Column("keg", BigInteger),
    )
    op.create_index("meter_periods_by_keg", "meter_periods", ["keg"])
    op.create_table(
        "adjustments",
        Column("pour", _ROW_ID, ForeignKey("pours.id"), primary_key=True),
        Column("volume_nl", BigInteger),
        Column("keg", BigInteger),
        Column("what", String(10), nullable=False),
        Column("reason", Text, nullable=False),
    )
    op.create_index("adjustments_by_keg", "adjustments", ["keg"])
    op.create_table(
        "events",
        Column("id", _ROW_ID, primary_key=True),
        Column("at_ms", BigInteger, nullable=False),
        Column("channel", String(64), nullable=False),
        Column("body", Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_by_channel", "events", ["channel", "id"])
    op.create_index("events_by_time", "events", ["at_ms"])
    op.execute(_DAYS)
    op.execute(_HOURS)
