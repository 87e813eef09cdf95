"""The tables of 0.1.0, which counted no versions: a copy that stays as it is."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)

revision = "0001"
down_revision = None

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

requests = Table(
    "requests",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("device", ForeignKey("devices.uuid"), nullable=False),
    Column("key", ForeignKey("keys.fingerprint"), nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("content_encoding", Text),
    Column("content_digest", Text, nullable=False),
    Column("signature_input", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)


def _records(name: str, time: str, *columns: Column[int] | Column[str], filters: tuple[str, ...] = ()) -> Table:
    request: Column[int] = Column("request", ForeignKey("requests.id"))
    table = Table(
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
        request,
        Index(f"{name}_once", "device", "record_id", unique=True),
        Index(f"{name}_by_time", time, "id"),
        Index(f"{name}_by_device", "device", time, "id"),
        Index(
            f"{name}_by_request", "request", sqlite_where=request.is_not(None), postgresql_where=request.is_not(None)
        ),
    )
    for column in filters:
        Index(f"{name}_by_{column}", table.c[column], table.c[time], table.c.id)
        Index(f"{name}_by_device_{column}", table.c.device, table.c[column], table.c[time], table.c.id)
    return table


pours = _records(
    "pours",
    "started_ms",
    Column("pin", Integer, nullable=False),
    Column("pulses", Integer, nullable=False),
    Column("elapsed_ms", Integer, nullable=False),
    filters=("pin",),
)

temperatures = _records(
    "temperatures",
    "taken_ms",
    Column("sensor", String(15)),
    Column("millidegrees", Integer, nullable=False),
    filters=("sensor",),
)

heartbeats = _records("heartbeats", "at_ms", Column("address", String(45)))

RECORDS = (pours, temperatures, heartbeats)


def upgrade() -> None:
    """Make what is missing of them, as 0.1.0 itself did at its start."""
    connection = op.get_bind()
    metadata.create_all(connection)
    for table in RECORDS:
        if all(column["name"] != "request" for column in inspect(connection).get_columns(table.name)):
            kind = table.c.request.type.compile(connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN request {kind} REFERENCES requests (id)")
        for index in table.indexes:
            index.create(connection, checkfirst=True)
