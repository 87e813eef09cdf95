"""Alarms and all that happens to them."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, String, Text

revision = "0005"
down_revision = "0004"

_ROW_ID = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "alarms",
        Column("id", _ROW_ID, primary_key=True),
        Column("rule", String(40), nullable=False),
        Column("subject", String(120), nullable=False),
        Column("text", Text, nullable=False),
        Column("raised_ms", BigInteger, nullable=False),
        Column("times", Integer, nullable=False),
        Column("cleared_ms", BigInteger),
        Column("acknowledged_ms", BigInteger),
        Column("acknowledged_by", String(100), nullable=False),
        Column("standing", Boolean, nullable=False),
    )
    op.create_index("alarms_standing", "alarms", ["standing", "id"])
    op.create_table(
        "alarm_moments",
        Column("id", _ROW_ID, primary_key=True),
        Column("alarm", _ROW_ID, ForeignKey("alarms.id"), nullable=False),
        Column("what", String(20), nullable=False),
        Column("at_ms", BigInteger, nullable=False),
        Column("text", Text, nullable=False),
        Column("said_by", String(100), nullable=False),
    )
    op.create_index("alarm_moments_by_alarm", "alarm_moments", ["alarm", "id"])
