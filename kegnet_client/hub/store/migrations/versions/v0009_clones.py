"""When a device was last seen to send from two machines."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column."""
    op.add_column("devices", Column("cloned_ms", BigInteger))
