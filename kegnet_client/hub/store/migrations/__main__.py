"""The process that brings a database up to date; its URL is read from standard input.

Whoever else wants the same meanwhile waits, and then finds it done: SQLite has one writer, PostgreSQL a lock for it.
"""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Row, make_url
from sqlalchemy.exc import SQLAlchemyError

from kegnet_client.hub.store import schema
from kegnet_client.hub.store.engines import make_patient_engine

_WAIT_S = 3600.0
"""For another process that is at it: it takes as long as it takes."""


def main(url: str) -> int:
    """Take every step that is missing."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    try:
        with make_patient_engine(make_url(url), _WAIT_S).connect() as connection:
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


if __name__ == "__main__":
    sys.exit(main(sys.stdin.read()))
