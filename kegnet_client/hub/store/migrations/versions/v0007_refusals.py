"""How many records of each device were refused, and when."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, String

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "refusals",
        Column("minute", BigInteger, primary_key=True),
        Column("device", String(36), ForeignKey("devices.uuid"), primary_key=True),
        Column("records", BigInteger, nullable=False),
    )
