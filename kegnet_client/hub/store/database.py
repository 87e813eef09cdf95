"""The hub's database as such: its connections, its one writer at a time, its bounds.

What `Database.write` returned from is on disk: SQLite runs in WAL mode with ``synchronous=FULL``, PostgreSQL with
``synchronous_commit=on``. Whatever the database cannot do now (locked, full, away) is a `StoreError`; nothing
of that transaction is kept then, and the sender tries again.

SQLite has one writer at a time, so writers queue here, in this process, and take the database's lock at the
transaction's beginning: none of them finds out halfway that it came too late.

Readers share one lane (`kegnet_client.hub.store.lanes`), so that they never outnumber the one who writes;
who reads but a row or a few has another. SQLite's log goes into the database's file in a thread of its own; nobody's
commit waits for that, unless the log became long.
"""

import asyncio
import functools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Column, Connection, Row, Select, Table, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from kegnet_client.core.errors import KegnetError, UsageError
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.engines import connect, make_engine
from kegnet_client.hub.store.lanes import Lane
from kegnet_client.hub.store.migrations import MigrationError, migrate
from kegnet_client.hub.store.sqlite_files import SqliteFiles

PATIENCE_S = 4.0
"""How long a writer waits for its turn."""
_SLICE_S = 0.25
_CHECKPOINT_FRAMES = 1000
"""How much of the log is left to be written into the database's file before that is done; SQLite's own default."""
_LONG_LOG_FRAMES = 8_000
"""From this length on, writers and readers are kept out for a moment, so that the log can begin anew (32 MB)."""
_STEPS = 200_000
"""After so many of SQLite's steps, some milliseconds, a read is asked whether it has taken too long."""
_PG_CANCELLED = "57014"

_T = TypeVar("_T")


class StoreError(KegnetError):
    """The database cannot do it now: wait, or fix the database; nothing was half done."""

    exit_code = 75


class TooSlowError(StoreError):
    """A read took too long and was ended, so that others get their turn: ask for less."""


def check_url(url: str, option: str = "--database") -> None:
    """`UsageError` unless ``url``, which is the value of ``option``, is that of a database that the hub can use."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number
        parsed = URL.create("none")
    is_file = parsed.drivername == "sqlite" and Path(parsed.database or "").is_absolute()
    if not is_file and parsed.drivername != "postgresql+psycopg":
        raise UsageError(f"{option} takes postgresql+psycopg://USER@HOST/NAME or sqlite:////PATH")


def with_password(url: str, password: str) -> str:
    """``url`` with ``password`` in it; `UsageError` if it names nobody whose password it is."""
    parsed = make_url(url)
    if parsed.username is None:
        raise UsageError("the database's URL names no user for the password: postgresql+psycopg://USER@HOST/NAME")
    return parsed.set(password=password).render_as_string(hide_password=False)


def has_password(url: str) -> bool:
    """Whether ``url`` shows a password to whoever sees it."""
    parsed = make_url(url)
    return parsed.password is not None or "password" in parsed.query


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Whether ``row`` is new in ``table``; nothing is changed where there is one with its key."""
    # Asked for the row's key, because not every driver counts the rows of an insert.
    statement = _insert(table, connection.dialect.name).returning(*table.primary_key.columns)
    return connection.execute(statement, row).first() is not None


def insert_all(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *columns: Column[Any]
) -> Sequence[Row[Any]]:
    """The ``columns`` of those of ``rows`` that are new in ``table``; the others are there already."""
    return connection.execute(_insert(table, connection.dialect.name).returning(*columns), rows).all() if rows else ()


@functools.cache
def _insert(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    return (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table).on_conflict_do_nothing()


class Database:
    """The database at ``database``: a SQLite file, or an SQLAlchemy URL."""

    def __init__(self, database: Path | str) -> None:
        url = URL.create("sqlite", database=str(database)) if isinstance(database, Path) else make_url(database)
        self._engine = make_engine(url, PATIENCE_S, _SLICE_S)
        self.url = self._engine.url
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        self._writer = self._engine.execution_options(kegnet_writes=True)
        self._files = SqliteFiles(Path(url.database)) if self.is_sqlite and url.database else None
        self._spoilt: str | None = None
        self._turn = threading.Lock()
        self._hurries = threading.Event()
        self._closing = threading.Event()
        self.reading = Lane("hub-reading")
        """Where reads are done, one after the other."""
        self.looking = Lane("hub-looking")
        """Where a row or a few are read, such as a token: they wait behind no page."""
        self.writing = Lane("hub-writing")
        """Where the commits of what devices send are done: its thread waits behind no reader."""
        self._checkpoints = Lane("hub-checkpoint")
        self._is_checkpoint_due = False
        self._read_limit_s: float | None = None
        self.on_write: Callable[[], None] = lambda: None
        """Called after each commit, by whatever thread committed."""

    def prepare(self) -> None:
        """Make the tables, or bring them up to date; a new SQLite file belongs to this user alone."""
        if self._files is not None:
            try:
                self._files.open()
            except OSError as error:
                raise StoreError(f"{self._files.path} cannot be opened: {error.strerror}") from error
        try:
            version = self.read(schema.version_of) or self.write(schema.make)
        except StoreError as error:
            if self._files is None or _code(error.__cause__) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            raise StoreError(f"{self._files.path}: {_told(error.__cause__)}; put it back from a backup") from error
        if obstacle := schema.find_obstacle(version):
            raise StoreError(f"the database {obstacle}")
        if version != schema.VERSION:
            try:
                migrate(self.url)
            except MigrationError as error:
                raise StoreError(f"the database cannot be brought up to date: {error}") from None
        if self._files is not None:
            self._files.begin()

    def hurry(self) -> None:
        """From now on nobody waits for a lock that another process holds."""
        self._hurries.set()

    def limit_reads(self, limit_s: float) -> None:
        """From now on a read that takes longer than ``limit_s`` is ended with `TooSlowError`."""
        self._read_limit_s = limit_s

    def close(self) -> None:
        """Fail the waiting writers, then close the connections."""
        self._closing.set()
        for lane in (self.reading, self.looking, self.writing, self._checkpoints):
            lane.close(_SLICE_S)
        has_turn = self._turn.acquire(timeout=_SLICE_S * 2)  # a disk that hangs shall not hang the stop
        self._engine.dispose()
        if self._files is not None and self._spoilt is None:
            self._files.close()
        if has_turn:
            self._turn.release()

    def read(self, work: Callable[[Connection], _T]) -> _T:
        """What ``work`` gives, which changes nothing."""
        return self._read_in(self.reading, work)

    def look(self, work: Callable[[Connection], _T]) -> _T:
        """As `read`, for what reads a row or a few along an index: it waits behind no page, and holds up none."""
        return self._read_in(self.looking, work)

    def _read_in(self, lane: Lane, work: Callable[[Connection], _T]) -> _T:
        if self.reading.is_here() or self.looking.is_here():
            return self._read(work)
        reading = lane.submit(lambda: self._read(work))
        try:
            return reading.result(PATIENCE_S)
        except TimeoutError:
            if reading.cancel():
                raise StoreError("the database is busy with other readers") from None
            return reading.result()  # it has begun, and has its own limit

    async def read_soon(self, work: Callable[[Connection], _T]) -> _T:
        """As `read`, for the event loop."""
        return await self._read_soon_in(self.reading, work)

    async def look_soon(self, work: Callable[[Connection], _T]) -> _T:
        """As `look`, for the event loop."""
        return await self._read_soon_in(self.looking, work)

    async def _read_soon_in(self, lane: Lane, work: Callable[[Connection], _T]) -> _T:
        try:
            async with asyncio.timeout(PATIENCE_S + (self._read_limit_s or 0)):
                return await lane.run(lambda: self._read(work))
        except TimeoutError:
            raise StoreError("the database is busy with other readers") from None

    def _read(self, work: Callable[[Connection], _T]) -> _T:
        self._check_spoilt()
        try:
            with connect(self._engine, self._closing) as connection, self._limited(connection):
                return work(connection)
        except (SQLAlchemyError, sqlite3.Error) as error:
            if _was_ended(error):
                raise TooSlowError(f"it took longer than {self._read_limit_s or 0:g} s: ask for less") from error
            raise _store_error(error) from error

    @contextmanager
    def _limited(self, connection: Connection) -> Iterator[None]:
        if self._read_limit_s is None:
            yield
        elif self.is_sqlite:
            deadline_s = time.monotonic() + self._read_limit_s
            raw = _raw(connection)
            raw.set_progress_handler(lambda: time.monotonic() > deadline_s or self._closing.is_set(), _STEPS)
            try:
                yield
            finally:
                raw.set_progress_handler(None, 0)
        else:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(self._read_limit_s * 1000)}")
            yield

    def rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        """What ``statement`` finds."""
        return self.read(lambda connection: connection.execute(statement).all())

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """What ``work`` gives, in one transaction that is on disk on return; an exception undoes all of it."""
        done = self._write_in_turn(work) if self.is_sqlite else self._transact(work)
        self.on_write()
        return done

    def _write_in_turn(self, work: Callable[[Connection], _T]) -> _T:
        deadline = time.monotonic() + PATIENCE_S
        if not self._turn.acquire(timeout=PATIENCE_S):
            raise StoreError("the database is busy with other writers")
        try:
            while not self._closing.is_set():
                self._check_spoilt()
                self._check_file()
                try:
                    return self._transact(work)
                except StoreError as error:
                    # Another process writes. SQLite's own wait cannot be ended, so it is short and repeated.
                    is_over = self._hurries.is_set() or time.monotonic() > deadline
                    if is_over or not _is_locked(error.__cause__):
                        raise
            raise StoreError("the hub is stopping")
        finally:
            self._turn.release()

    def _transact(self, work: Callable[[Connection], _T]) -> _T:
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(connect(self._writer, self._closing))
                with connection.begin():
                    self._check_content(others_wrote=True)
                    done = work(connection)
                self._check_content(others_wrote=False)
                self._check_log(connection)
                self._checkpoint_if_due()
                return done
            except (SQLAlchemyError, sqlite3.Error) as error:
                raise _store_error(error) from error
            finally:
                if self._spoilt is not None:
                    _never_close(stack.pop_all())

    def _check_spoilt(self) -> None:
        if self._spoilt is not None:
            raise StoreError(self._spoilt)

    def _check_file(self) -> None:
        # SQLite goes on writing into a file that was removed or replaced, and all of that would be lost.
        if self._files is not None and not self._files.is_there():
            raise StoreError(f"{self._files.path} was removed or replaced: put it back, or start the hub again")

    def _check_content(self, *, others_wrote: bool) -> None:
        # It goes on after the files were overwritten, too, and what it writes then can never be read again.
        if self._files is None:
            return
        try:
            fault = self._files.find_fault(others_wrote=others_wrote)
            if fault is not None:
                self._spoilt = f"{fault.text} while the hub ran: stop the hub to restore it"
                if fault.is_other:
                    self._spoilt += f" (what was stored last in the one before is in {self._files.set_log_aside()})"
        except OSError as error:
            raise StoreError(f"{error.filename or self._files.path} cannot be read: {error.strerror}") from error
        self._check_spoilt()

    def _check_log(self, connection: Connection) -> None:
        # The log is there for as long as a connection is open.
        if self._files is None or not self._files.lacks_log():
            return
        # What only this connection can still read goes into the database, and the next one begins another log.
        _raw(connection).execute("PRAGMA wal_checkpoint(FULL)")
        self._engine.dispose()
        connection.invalidate()
        self._files.forget()
        raise StoreError(
            f"{self._files.log} was removed: leave it alone while the hub runs, it holds what was stored last"
        )

    def _checkpoint_if_due(self) -> None:
        files = self._files
        if files is None or self._is_checkpoint_due or files.count_unwritten() < _CHECKPOINT_FRAMES:
            return
        self._is_checkpoint_due = True
        self._checkpoints.submit(lambda: self._checkpoint(files))

    def _checkpoint(self, files: SqliteFiles) -> None:
        """Write the log into the database's file while others store; what they add meanwhile is for the next time."""
        try:
            if self._write_file(files, alone=False) >= _LONG_LOG_FRAMES:
                # It begins anew only when all of it is in the file and nobody reads in it: so it is the readers' turn.
                self.reading.submit(
                    lambda: self.looking.submit(lambda: self._write_file(files, alone=True)).result()
                ).result()
        finally:
            self._is_checkpoint_due = False

    def _write_file(self, files: SqliteFiles, *, alone: bool) -> int:
        """How many frames the log has; ``alone`` keeps other writers out until it is done."""
        # As when SQLite does it by itself, what goes wrong here fails nobody: the next one tries again.
        with ExitStack() as stack, suppress(SQLAlchemyError, sqlite3.Error, StoreError):
            try:
                connection = stack.enter_context(connect(self._engine, self._closing))
                with ExitStack() as turn:
                    turn.enter_context(self._turn)
                    self._check_file()
                    self._check_content(others_wrote=True)
                    files.is_written_here = True
                    if not alone:
                        turn.close()
                    _, log_frames, _ = _raw(connection).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    return int(log_frames)
            finally:
                files.is_written_here = False
                if self._spoilt is not None:
                    _never_close(stack.pop_all())
        return 0


def _raw(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _never_close(connection: ExitStack) -> None:
    """Keep ``connection`` until the process has ended.

    With the last one that is closed SQLite writes the log into the file, which is not the log's any more.
    """
    # What a daemon thread holds is never taken down, not even by the interpreter's end.
    threading.Thread(target=lambda _: threading.Event().wait(), args=(connection,), daemon=True).start()


def _store_error(error: Exception) -> StoreError:
    return StoreError(f"the database cannot do it now: {_told(error)}")


def _is_locked(error: BaseException | None) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _was_ended(error: BaseException) -> bool:
    """Whether the database ended a read because of its limit."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return _code(error) == sqlite3.SQLITE_INTERRUPT or getattr(cause, "sqlstate", None) == _PG_CANCELLED


def _told(error: BaseException | None) -> str:
    """What the database itself said."""
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())


def _code(error: BaseException | None) -> int | None:
    """SQLite's primary result code, if it is an error of SQLite's."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return (getattr(cause, "sqlite_errorcode", 0) or 0) & 0xFF if isinstance(cause, sqlite3.Error) else None
