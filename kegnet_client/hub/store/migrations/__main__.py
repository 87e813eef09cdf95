"""The process that brings a database up to date; its URL is read from standard input.

Whoever else wants the same meanwhile waits, and then finds it done: SQLite has one writer, PostgreSQL a lock for it.
"""

import sqlite3
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Row, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from kegnet_client.hub.store import schema

_WAIT_S = 3600.0
"""For another process that is at it: it takes as long as it takes."""


def main(url: str) -> int:
    """Take every step that is missing."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    try:
        with _make_engine(url).connect() as connection:
            while _take_step(connection, config, head):
                pass
    except SQLAlchemyError as error:
        print(" ".join(str(getattr(error, "orig", error)).split()), file=sys.stderr)
        return 1
    return 0


def _take_step(connection: Connection, config: Config, head: str | None) -> bool:
    """Take the next step, if there is one; whether there was."""
    with connection.begin():
        schema.lock(connection)
        if MigrationContext.configure(connection).get_current_revision() == head:
            return False
        broken = _find_broken(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "+1")
        if _find_broken(connection) - broken:
            raise SQLAlchemyError("rows would point at rows that are not there")
    return True


def _find_broken(connection: Connection) -> set[Row[tuple[object, ...]]]:
    """The rows that point at what is not there: SQLite does not look after them while tables are changed."""
    if connection.dialect.name != "sqlite":
        return set()
    return set(connection.exec_driver_sql("PRAGMA foreign_key_check"))


def _make_engine(url: str) -> Engine:
    if make_url(url).get_backend_name() == "postgresql":
        settings = {"synchronous_commit": "on", "lock_timeout": "0", "statement_timeout": "0"}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return create_engine(url, connect_args={"options": options}, poolclass=NullPool)
    engine = create_engine(url, connect_args={"timeout": _WAIT_S}, poolclass=NullPool)

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


if __name__ == "__main__":
    sys.exit(main(sys.stdin.read()))
