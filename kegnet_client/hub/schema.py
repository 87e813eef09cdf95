"""The hub's tables, the same for SQLite and PostgreSQL.

Every record is kept with its proof: the bytes that were signed, the signature, the protocol that says what the
bytes mean, and the key that verified them, so that it can be verified again by anyone at any time. Keys are
rows of their own, because a record's proof outlives its device's registration.

All times are Unix milliseconds. The pair of device and record id is unique: that is what makes a resend
harmless. A page is read along ``(time, id)``, for all devices or for one, and both have their index.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

# SQLite numbers rows by itself only where the type is exactly INTEGER.
_ROW_ID = BigInteger().with_variant(Integer, "sqlite")

keys = Table(
    "keys",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("pem", Text, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("key", ForeignKey("keys.fingerprint"), nullable=False),
    Column("next_key", ForeignKey("keys.fingerprint")),
    Column("added_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
    Column("last_seen_ms", BigInteger),
    Column("address", String(45)),
    Index("devices_by_time", "added_ms", "id"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("name", String(100)),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Column("device", ForeignKey("devices.uuid")),
)
"""One-time codes; who has only this table can use none of them."""


def _records(name: str, time: str, *columns: Column[int] | Column[str]) -> Table:
    return Table(
        name,
        metadata,
        Column("id", _ROW_ID, primary_key=True),
        Column("device", ForeignKey("devices.uuid"), nullable=False),
        Column("record_id", String(32), nullable=False),
        *columns,
        Column(time, BigInteger, nullable=False),
        Column("received_ms", BigInteger, nullable=False),
        Column("protocol", String(8), nullable=False),
        Column("signed", LargeBinary, nullable=False),
        Column("signature", LargeBinary, nullable=False),
        Column("key", ForeignKey("keys.fingerprint"), nullable=False),
        Index(f"{name}_once", "device", "record_id", unique=True),
        Index(f"{name}_by_time", time, "id"),
        Index(f"{name}_by_device", "device", time, "id"),
    )


pours = _records(
    "pours",
    "started_ms",
    Column("pin", Integer, nullable=False),
    Column("pulses", Integer, nullable=False),
    Column("elapsed_ms", Integer, nullable=False),
)

temperatures = _records(
    "temperatures",
    "taken_ms",
    Column("sensor", String(15)),
    Column("millidegrees", Integer, nullable=False),
)

heartbeats = _records("heartbeats", "at_ms", Column("address", String(45)))
"""Signs of life without a temperature, and the addresses that devices tell."""
