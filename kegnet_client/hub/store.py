"""The hub's database: who may send, what was sent, and the proof of it.

What `Store.ingest` returned from is on disk: SQLite runs in WAL mode with ``synchronous=FULL``, PostgreSQL with
``synchronous_commit=on``. Whatever the database cannot do now (locked, full, away) is a `StoreError`; nothing
of that transaction is kept then, and the sender tries again.

SQLite has one writer at a time, so writers queue here, in this process, and take the database's lock at the
transaction's beginning: none of them finds out halfway that it came too late.

Nothing is cached: a device added or revoked by another process counts from the next request on.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Row,
    Select,
    Table,
    create_engine,
    event,
    make_url,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from kegnet_client.core.errors import KegnetError, RecordError, UsageError
from kegnet_client.core.records import Heartbeat, Pour
from kegnet_client.core.rest import Version
from kegnet_client.hub import receive, schema
from kegnet_client.hub.receive import Address, Proven, Temperature

PATIENCE_S = 5.0
"""How long a writer waits for its turn."""
_SLICE_S = 0.25

_T = TypeVar("_T")


class StoreError(KegnetError):
    """The database cannot do it now: wait, or mend the database; nothing was half done."""

    exit_code = 75


@dataclass(frozen=True, slots=True)
class Device:
    """A registered device. ``last_seen_ms`` is when it last sent something new, by the hub's clock.

    While it changes its key it has two: what either signed is taken.
    """

    id: int
    uuid: str
    name: str
    key_fingerprint: str
    public_key_pem: str
    next_key_pem: str | None
    added_ms: int
    revoked_ms: int | None
    last_seen_ms: int | None
    address: str | None

    @property
    def keys_pem(self) -> tuple[str, ...]:
        """The public keys that it may sign with."""
        return (self.public_key_pem,) if self.next_key_pem is None else (self.public_key_pem, self.next_key_pem)


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows to read: from ``since_ms`` on, before ``until_ms``; ``after`` is the last row seen."""

    limit: int
    after: tuple[int, int] | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    equal: tuple[tuple[str, str | int], ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first, and where the next page goes on."""

    rows: Sequence[Row[Any]]
    next: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Verification:
    """What came out of verifying one stored row again; ``fault`` is None when all is well."""

    table: str
    id: int
    device: str
    record_id: str
    fault: str | None


def check_url(url: str) -> None:
    """`UsageError` unless ``url`` is that of a database that the hub can use."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = URL.create("none")
    is_file = parsed.drivername == "sqlite" and Path(parsed.database or "").is_absolute()
    if not is_file and parsed.drivername != "postgresql+psycopg":
        raise UsageError("--database takes postgresql+psycopg://USER@HOST/NAME or sqlite:////PATH")


class Store:
    """The database at ``database``: a SQLite file, or an SQLAlchemy URL."""

    def __init__(self, database: Path | str) -> None:
        url = URL.create("sqlite", database=str(database)) if isinstance(database, Path) else make_url(database)
        self._engine = _sqlite_engine(url) if url.get_backend_name() == "sqlite" else _postgresql_engine(url)
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        self._writer = self._engine.execution_options(kegnet_writes=True)
        self._file = Path(url.database) if self._is_sqlite and url.database else None
        self._file_id: tuple[int, int] | None = None
        self._turn = threading.Lock()
        self._closing = threading.Event()

    def prepare(self) -> None:
        """Make the tables that are missing; a new SQLite file belongs to this user alone."""
        if self._file is not None:
            try:
                os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                self._file_id = _file_id(self._file)
            except OSError as error:
                raise StoreError(f"{self._file} cannot be opened: {error.strerror}") from error
        self.write(schema.metadata.create_all)

    def close(self) -> None:
        """Send those who wait home and close the connections."""
        self._closing.set()
        has_turn = self._turn.acquire(timeout=_SLICE_S * 2)  # a disk that hangs shall not hang the stop
        self._engine.dispose()
        if has_turn:
            self._turn.release()

    def add_device(self, uuid: str, key: receive.PublicKey, name: str, now_ms: int) -> None:
        """Register a device; `UsageError` if there is one with this uuid, revoked or not."""
        pem = receive.normal_pem(key)
        values = {"uuid": uuid.lower(), "name": name, "key": receive.fingerprint(pem), "added_ms": now_ms}

        def work(connection: Connection) -> bool:
            self.insert_new(connection, schema.keys, {"fingerprint": values["key"], "pem": pem})
            return self.insert_new(connection, schema.devices, values)

        if not self.write(work):
            raise UsageError(f"{uuid} is registered already; a device with a new key gets a new uuid")

    def revoke_device(self, uuid: str, now_ms: int) -> None:
        """Take nothing more from a device; `UsageError` if there is no such device."""
        table = schema.devices
        statement = (
            update(table).where(table.c.uuid == uuid.lower(), table.c.revoked_ms.is_(None)).values(revoked_ms=now_ms)
        )
        if not self.write(lambda connection: connection.execute(statement).rowcount) and self.device(uuid) is None:
            raise UsageError(f"{uuid} is not registered; `kegnet-client hub devices list` shows who is")

    def device(self, uuid: str) -> Device | None:
        """The device with this uuid, revoked or not."""
        statement = _select_devices().where(schema.devices.c.uuid == uuid.lower())
        return next((Device(**row._mapping) for row in self._rows(statement)), None)

    def devices(self) -> list[Device]:
        """Every device, in the order of registration."""
        statement = _select_devices().order_by(schema.devices.c.id)
        return [Device(**row._mapping) for row in self._rows(statement)]

    def ingest(self, records: Iterable[Proven], received_ms: int) -> list[bool]:
        """Store ``records`` in one transaction; for each, whether it is new. On return all are on disk."""
        batch = tuple(records)
        return self.write(lambda connection: [self._ingest(connection, proven, received_ms) for proven in batch])

    def page(self, table: Table, time_column: str, query: Query) -> Page:
        """The rows of ``table`` that ``query`` asks for, newest first."""
        when, row_id = table.c[time_column], table.c.id
        statement = select(table).order_by(when.desc(), row_id.desc()).limit(query.limit + 1)
        if query.since_ms is not None:
            statement = statement.where(when >= query.since_ms)
        if query.until_ms is not None:
            statement = statement.where(when < query.until_ms)
        if query.after is not None:
            statement = statement.where(tuple_(when, row_id) < tuple_(*query.after))
        for column, value in query.equal:
            statement = statement.where(table.c[column] == value)
        rows = self._rows(statement)
        if len(rows) <= query.limit:
            return Page(rows, None)
        last = rows[query.limit - 1]._mapping
        return Page(rows[: query.limit], (last[time_column], last["id"]))

    def verify_stored(self, device: str | None = None) -> Iterator[Verification]:
        """Verify every stored row again, from the stored bytes and key alone, oldest first."""
        for table in (schema.pours, schema.temperatures, schema.heartbeats):
            statement = select(table, schema.keys.c.pem).join(schema.keys).order_by(table.c.id).limit(500)
            if device is not None:
                statement = statement.where(table.c.device == device.lower())
            last_id = 0
            while rows := self._rows(statement.where(table.c.id > last_id)):
                for row in rows:
                    fault = _verify_row(table, row)
                    yield Verification(table.name, row.id, row.device, row.record_id, fault)
                last_id = rows[-1].id

    def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        return self._read(lambda connection: connection.execute(statement).all())

    def _ingest(self, connection: Connection, proven: Proven, received_ms: int) -> bool:
        claim = proven.claim
        table, values = _columns(claim.content)
        row = {
            **values,
            "device": claim.device,
            "record_id": claim.record_id,
            "received_ms": received_ms,
            "protocol": claim.version.value,
            "signed": claim.signed,
            "signature": claim.signature,
            "key": proven.key_fingerprint,
        }
        if not self.insert_new(connection, table, row):
            return False
        seen: dict[str, Any] = {"last_seen_ms": received_ms}
        if isinstance(claim.content, Address):
            seen["address"] = claim.content.address
        devices = schema.devices
        statement = update(devices).where(devices.c.uuid == claim.device, devices.c.revoked_ms.is_(None))
        if connection.execute(statement.values(seen)).rowcount != 1:
            # Revoked since its signature was verified: the transaction and the row above are undone.
            raise receive.RefusedError(receive.REVOKED)
        return True

    def insert_new(self, connection: Connection, table: Table, values: dict[str, Any]) -> bool:
        """Whether ``values`` are a new row of ``table``; nothing is changed where there is one with their key."""
        dialect_insert = sqlite.insert if self._is_sqlite else postgresql.insert
        statement = dialect_insert(table).values(values).on_conflict_do_nothing()
        # Asked for the row's key, because not every driver counts the rows of an insert.
        return connection.execute(statement.returning(*table.primary_key.columns)).first() is not None

    def _read(self, work: Callable[[Connection], _T]) -> _T:
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _store_error(error) from error

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """What ``work`` gives, in one transaction that is on disk on return; an exception undoes all of it."""
        if not self._is_sqlite:
            return self._transact(work)
        deadline = time.monotonic() + PATIENCE_S
        if not self._turn.acquire(timeout=PATIENCE_S):
            raise StoreError("the database is busy with other writers")
        try:
            while not self._closing.is_set():
                self._check_file()
                try:
                    return self._transact(work)
                except StoreError as error:
                    # Another process writes. SQLite's own wait cannot be ended, so it is short and repeated.
                    if time.monotonic() > deadline or not _is_locked(error.__cause__):
                        raise
            raise StoreError("the hub is stopping")
        finally:
            self._turn.release()

    def _transact(self, work: Callable[[Connection], _T]) -> _T:
        try:
            with self._writer.begin() as connection:
                return work(connection)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _store_error(error) from error

    def _check_file(self) -> None:
        # SQLite goes on writing into a file that was removed or replaced, and all of that would be lost.
        if self._file is not None and self._file_id is not None and _file_id(self._file) != self._file_id:
            raise StoreError(f"{self._file} was removed or replaced: put it back, or start the hub again")


def _columns(content: receive.Content) -> tuple[Table, dict[str, Any]]:
    match content:
        case Pour(pin, pulses, elapsed_ms, started_ms):
            return schema.pours, {
                "pin": pin,
                "pulses": pulses,
                "elapsed_ms": elapsed_ms,
                "started_ms": started_ms,
            }
        case Temperature(millidegrees, taken_ms, sensor):
            return schema.temperatures, {"sensor": sensor, "millidegrees": millidegrees, "taken_ms": taken_ms}
        case Heartbeat(at_ms):
            return schema.heartbeats, {"address": None, "at_ms": at_ms}
        case Address(address, at_ms):
            return schema.heartbeats, {"address": address, "at_ms": at_ms}


def _verify_row(table: Table, row: Row[Any]) -> str | None:
    """What is wrong with a stored record: its signature, or its columns against the signed bytes."""
    stored = row._mapping
    call = "ip" if stored.get("address") is not None else "pour" if table is schema.pours else "ping"
    try:
        claim = receive.reread_claim(call, Version(row.protocol), bytes(row.signed), bytes(row.signature))
        if receive.authenticate(claim, row.pem).key_fingerprint != row.key:
            return "the stored key is not the one that verified it"
    except (RecordError, receive.RefusedError, ValueError) as error:
        return str(error)
    claimed_table, columns = _columns(claim.content)
    columns |= {"device": claim.device, "record_id": claim.record_id}
    changed = [name for name, value in columns.items() if stored.get(name) != value]
    if claimed_table is not table or changed:
        return f"the columns {', '.join(changed)} do not hold what was signed"
    return None


def _select_devices() -> Select[Any]:
    table, key, next_key = schema.devices, schema.keys.alias(), schema.keys.alias()
    statement = select(
        table.c.id,
        table.c.uuid,
        table.c.name,
        table.c.key.label("key_fingerprint"),
        key.c.pem.label("public_key_pem"),
        next_key.c.pem.label("next_key_pem"),
        table.c.added_ms,
        table.c.revoked_ms,
        table.c.last_seen_ms,
        table.c.address,
    )
    joined = table.join(key, table.c.key == key.c.fingerprint)
    return statement.select_from(joined.outerjoin(next_key, table.c.next_key == next_key.c.fingerprint))


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _SLICE_S}, pool_timeout=PATIENCE_S)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin below, not where the driver sees fit
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("kegnet_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(url: URL) -> Engine:
    settings = {"synchronous_commit": "on", "lock_timeout": "3s", "statement_timeout": "5s"}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return create_engine(
        url, connect_args={"connect_timeout": 2, "options": options}, pool_pre_ping=True, pool_timeout=PATIENCE_S
    )


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _store_error(error: Exception) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return StoreError(f"the database cannot do it now: {' '.join(str(cause).split())}")


def _is_locked(error: BaseException | None) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", 0) or 0
    return isinstance(cause, sqlite3.Error) and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
