"""The hub's tables, the same for SQLite and PostgreSQL.

Every record is kept with its proof, so that it can be verified again by anyone at any time. One of REST v1 or v2
has it in its own row: the bytes that were signed, the signature, the protocol that says what the bytes mean, and
the key that verified them. One of v3 points at the request that brought it, which is kept once, as it was sent;
its own ``signed`` and ``signature`` are empty. Keys are rows of their own, because a record's proof outlives its
device's registration.

All times are Unix milliseconds. The pair of device and record id is unique: that is what makes a resend
harmless. A page is read along ``(time, id)``, for all or for some, and each filter has its index.

`make` also brings the tables of an earlier version up to date; what it adds there is empty in the rows it finds.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
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
"""Requests of REST v3 that brought something new: the signed headers, and the content as it was sent."""


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
"""Signs of life without a temperature, and the addresses that devices tell."""

RECORDS = (pours, temperatures, heartbeats)


def make(connection: Connection) -> None:
    """Make the tables, columns and indexes that are missing."""
    if connection.dialect.name == "postgresql":
        # An index over all that a hub has stored takes as long as it takes.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    metadata.create_all(connection)
    for table in RECORDS:
        if all(column["name"] != "request" for column in inspect(connection).get_columns(table.name)):
            kind = table.c.request.type.compile(connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN request {kind} REFERENCES requests (id)")
        for index in table.indexes:
            index.create(connection, checkfirst=True)
