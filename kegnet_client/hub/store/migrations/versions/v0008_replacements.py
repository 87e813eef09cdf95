"""Invitations by which a device comes back with another key."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column."""
    # Alembic adds a foreign key by itself, which SQLite cannot.
    op.execute("ALTER TABLE invitations ADD COLUMN replaces VARCHAR(36) REFERENCES devices (uuid)")
