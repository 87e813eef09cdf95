"""A database from which the hub was moved takes nothing more, from any process, whatever version it is of.

What a hub that still ran there acknowledged would be missing where the hub is now. So triggers fail every statement
that changes a row, a hub that starts is told by the version of the tables, and a table says where everything went.
"""

from sqlalchemy import Connection, inspect, text, update

from kegnet_client.hub.store import schema
from kegnet_client.hub.store.transfer import TABLES

_TABLE = "moved"
_SAID = "the hub was moved to another database: start it again"


def lock(connection: Connection) -> None:
    """Let nobody change a row until this transaction's end; everybody can read meanwhile."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        names = ", ".join(table.name for table in schema.metadata.sorted_tables)
        connection.exec_driver_sql(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")


def put_up(connection: Connection, target: str) -> None:
    """From this transaction's end on nothing is changed here; ``target`` is where the rows went, as people read it."""
    connection.exec_driver_sql(f"CREATE TABLE {_TABLE} (target TEXT NOT NULL)")
    connection.execute(text(f"INSERT INTO {_TABLE} VALUES (:target)"), {"target": target})  # noqa: S608 - our own name
    connection.execute(update(schema.versions).values(version_num=schema.MOVED))
    for statement in _sqlite() if connection.dialect.name == "sqlite" else _postgresql():
        connection.exec_driver_sql(statement)


def read_target(connection: Connection) -> str | None:
    """Where the rows went; None if they are here."""
    if not inspect(connection).has_table(_TABLE):
        return None
    return str(connection.execute(text(f"SELECT target FROM {_TABLE}")).scalar_one())  # noqa: S608 - our own name


def _sqlite() -> list[str]:
    return [
        f"CREATE TRIGGER moved_{table.name}_{change} BEFORE {change} ON {table.name} "
        f"BEGIN SELECT RAISE(ABORT, '{_SAID}'); END"
        for table in TABLES
        for change in ("INSERT", "UPDATE", "DELETE")
    ]


def _postgresql() -> list[str]:
    function = f"BEGIN RAISE EXCEPTION '{_SAID}'; END"
    return [f"CREATE FUNCTION moved() RETURNS trigger LANGUAGE plpgsql AS $$ {function} $$"] + [
        f"CREATE TRIGGER moved BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table.name} "
        "FOR EACH STATEMENT EXECUTE FUNCTION moved()"
        for table in TABLES
    ]
