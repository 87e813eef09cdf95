"""Tokens with names and roles, and links that make one for a browser."""

from alembic import op
from sqlalchemy import BigInteger, Column, String

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tokens",
        Column("secret_sha256", String(64), primary_key=True),
        Column("name", String(100), nullable=False, unique=True),
        Column("role", String(10), nullable=False),
        Column("made_ms", BigInteger, nullable=False),
        Column("expires_ms", BigInteger),
        Column("revoked_ms", BigInteger),
    )
    op.create_table(
        "login_links",
        Column("secret_sha256", String(64), primary_key=True),
        Column("name", String(100), nullable=False),
        Column("role", String(10), nullable=False),
        Column("expires_ms", BigInteger, nullable=False),
        Column("used_ms", BigInteger),
    )
