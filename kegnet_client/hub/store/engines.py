"""The engines of the two databases: how their connections are, and where their transactions begin."""

import functools
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool


def make_engine(url: URL, patience_s: float, slice_s: float) -> Engine:
    """An engine for ``url``. It waits ``patience_s`` for one of its connections, and SQLite ``slice_s`` for a lock."""
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, patience_s, slice_s)
    return _postgresql_engine(url, patience_s)


def _sqlite_engine(url: URL, patience_s: float, slice_s: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": slice_s}, pool_timeout=patience_s)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin below, not where the driver sees fit
        # What somebody damaged is shown as damaged, and hides none of its neighbours.
        connection.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA wal_autocheckpoint=0")  # see `kegnet_client.hub.store.database`
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("kegnet_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(url: URL, patience_s: float) -> Engine:
    settings = {"synchronous_commit": "on", "lock_timeout": "3s", "statement_timeout": "5s"}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return create_engine(
        url, connect_args={"connect_timeout": 2, "options": options}, pool_pre_ping=True, pool_timeout=patience_s
    )


@contextmanager
def connect(engine: Engine, closing: threading.Event) -> Iterator[Connection]:
    """A connection of ``engine``. If its others were closed meanwhile, or ``closing`` says so, it is closed after use.

    A pool keeps what comes back after its end, too, and nobody else would close that.
    """
    pool = engine.pool
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        if closing.is_set() or pool is not engine.pool:
            pool.dispose()
            engine.pool.dispose()


def make_patient_engine(url: URL, wait_s: float) -> Engine:
    """An engine for ``url`` and for work on all of it: each connection is one of its own, whose transactions all write.

    It waits ``wait_s`` for a lock that somebody else holds; a statement may take as long as it takes. SQLite leaves it
    to the caller to look after rows that point at others.
    """
    if url.get_backend_name() != "sqlite":
        settings = {
            "synchronous_commit": "on",
            "lock_timeout": f"{round(wait_s * 1000)}",
            "statement_timeout": "0",
            "idle_in_transaction_session_timeout": "0",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return create_engine(url, connect_args={"options": options}, poolclass=NullPool)
    engine = create_engine(url, connect_args={"timeout": wait_s}, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=OFF")  # before the transaction, in which it would do nothing
        connection.execute("PRAGMA wal_autocheckpoint=0")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
