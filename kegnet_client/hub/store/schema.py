"""The hub's tables, the same for SQLite and PostgreSQL.

Every record is kept with its proof, so that it can be verified again by anyone at any time. One of REST v1 or v2
has it in its own row: the bytes that were signed, the signature, the protocol that says what the bytes mean, and
the key that verified them. One of v3 points at the request that brought it, which is kept once, as it was sent;
its own ``signed`` and ``signature`` are empty. Keys are rows of their own, because a record's proof outlives its
device's registration; which device had which of them is in a table of its own, to which each record's pair points.

All times are Unix milliseconds. The pair of device and record id is unique: that is what makes a resend
harmless. A page is read along ``(time, id)``, for all or for some, and each filter has its index.

A new database is made from these tables. One of an earlier version is brought to them by the numbered steps of
`kegnet_client.hub.store.migrations`, of which ``VERSION`` is the last.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    func,
    insert,
    inspect,
    select,
)

VERSION = "0009"
MOVING = "moving"
"""The version of a database into which `kegnet_client.hub.move` still puts rows."""
MOVED = "moved"
"""The version of one from which the hub was moved."""

_LOCK = int.from_bytes(b"kegnet")

metadata = MetaData()

versions = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""The number of the last step that was taken, in one row, as Alembic keeps it."""

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
    Column("cloned_ms", BigInteger),
    Index("devices_by_time", "added_ms", "id"),
)

device_keys = Table(
    "device_keys",
    metadata,
    Column("device", ForeignKey("devices.uuid"), primary_key=True),
    Column("key", ForeignKey("keys.fingerprint"), primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("inferred", Boolean, nullable=False),
)
"""Which device was registered with which key, once or now. What is ``inferred`` nobody has noted down when it was: a
version before 0.2.0 had taken records of that device which this key had signed. ``since_ms`` is told, never judged by:
clocks jump."""

invitations = Table(
    "invitations",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("name", String(100)),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Column("device", ForeignKey("devices.uuid")),
    Column("replaces", ForeignKey("devices.uuid")),
)
"""One-time codes; who has only this table can use none of them. One that ``replaces`` a device lets that one alone in,
with another key."""

tokens = Table(
    "tokens",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("role", String(10), nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
)
"""Who may read or change what; who has only this table can use none of them."""

login_links = Table(
    "login_links",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("role", String(10), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)
"""One-time codes, each of which makes a browser a token of its own."""

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
"""Heartbeats without a temperature, and the addresses that devices tell."""

RECORDS = (pours, temperatures, heartbeats)

refusals = Table(
    "refusals",
    metadata,
    Column("minute", BigInteger, primary_key=True),
    Column("device", ForeignKey("devices.uuid"), primary_key=True),
    Column("records", BigInteger, nullable=False),
)
"""How many records were refused in each minute since 1970 that were, or said that they were, from a device; the last
days' (`kegnet_client.hub.store.refusals`)."""

pours_by_day = Table(
    "pours_by_day",
    metadata,
    Column("device", ForeignKey("devices.uuid"), primary_key=True),
    Column("pin", Integer, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("pours", BigInteger, nullable=False),
    Column("pulses", BigInteger, nullable=False),
)
"""What each meter counted on each day since 1970 (UTC), so that the sum of years is that of a few hundred rows."""

readings_by_hour = Table(
    "readings_by_hour",
    metadata,
    Column("device", ForeignKey("devices.uuid"), primary_key=True),
    Column("sensor", String(15), primary_key=True),
    Column("hour", Integer, primary_key=True),
    Column("readings", BigInteger, nullable=False),
    Column("lowest", Integer, nullable=False),
    Column("highest", Integer, nullable=False),
    Column("total", BigInteger, nullable=False),
)
"""The readings of each hour since 1970, in millidegrees; ``sensor`` is empty where the protocol does not tell it."""

entries = Table(
    "entries",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("subject", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("said_by", String(100), nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Index("entries_by_subject", "kind", "subject", "id"),
    sqlite_autoincrement=True,
)
"""What people say, and nothing of it is ever changed: the last entry about a subject holds, the others are history.

``body`` is all that is said of the subject, as JSON. `meter_periods` and `adjustments` follow from these rows alone.
"""

meter_periods = Table(
    "meter_periods",
    metadata,
    Column("device", String(36), primary_key=True),
    Column("pin", Integer, primary_key=True),
    Column("from_ms", BigInteger, primary_key=True),
    Column("until_ms", BigInteger, nullable=False),
    Column("nanolitres_per_pulse", BigInteger),
    Column("tap", BigInteger),
    Column("keg", BigInteger),
    Index("meter_periods_by_keg", "keg"),
    Index("meter_periods_by_tap", "tap"),
)
"""For each meter what holds from when until before when: its calibration, its tap and the keg there."""

adjustments = Table(
    "adjustments",
    metadata,
    Column("pour", ForeignKey("pours.id"), primary_key=True),
    Column("volume_nl", BigInteger),
    Column("keg", BigInteger),
    Column("what", String(10), nullable=False),
    Column("reason", Text, nullable=False),
    Index("adjustments_by_keg", "keg"),
)
"""The pours of which a person said what they were; an empty column leaves what follows from the pulses."""

alarms = Table(
    "alarms",
    metadata,
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
    Index("alarms_standing", "standing", "id"),
)
"""Alarms, each as its `alarm_moments` have made it (`kegnet_client.hub.domain.alarms`)."""

alarm_moments = Table(
    "alarm_moments",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("alarm", ForeignKey("alarms.id"), nullable=False),
    Column("what", String(20), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("said_by", String(100), nullable=False),
    Index("alarm_moments_by_alarm", "alarm", "id"),
)
"""All that ever happened to an alarm."""

events = Table(
    "events",
    metadata,
    Column("id", _ROW_ID, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("channel", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Index("events_by_channel", "channel", "id"),
    Index("events_by_time", "at_ms"),
    sqlite_autoincrement=True,
)
"""What is new, in the order of commits (`kegnet_client.hub.store.events`)."""


def version_of(connection: Connection) -> str | None:
    """The version of the tables that there are; None where there are none, or those of 0.1.0."""
    if not inspect(connection).has_table(versions.name):
        return None
    return connection.execute(select(versions.c.version_num)).scalar()


def make(connection: Connection) -> str | None:
    """Make the tables where there are none; their version, or None for those of 0.1.0."""
    lock(connection)
    version = version_of(connection)
    if version is not None or inspect(connection).has_table(pours.name):
        return version
    metadata.create_all(connection)
    connection.execute(insert(versions).values(version_num=VERSION))
    return VERSION


def find_obstacle(version: str | None) -> str | None:
    """Why no hub may use tables of this version; None if one may, once they are up to date."""
    match version:
        case "moving":
            return "is not whole: `kegnet-client hub migrate` was cut short, run it again"
        case "moved":
            return "is not the hub's any more: hub.conf has to name the one to which it was moved"
    return "was made by a newer version of kegnet-client: update this one" if (version or "") > VERSION else None


def lock(connection: Connection) -> None:
    """Let nobody else make or change tables until this transaction's end."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        # Whoever is at it takes as long as it takes.
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
