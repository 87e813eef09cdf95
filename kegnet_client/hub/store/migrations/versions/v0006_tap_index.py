"""The periods of a tap, so that its pours are found without looking at all others."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the index."""
    op.create_index("meter_periods_by_tap", "meter_periods", ["tap"])
