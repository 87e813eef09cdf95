"""Every row of one database put into another one, and compared there: SQLite or PostgreSQL, either way.

What is only ever added to is taken on behind its last row, so that a transfer that was cut short goes on where it was.
The other tables are small: they are brought up to date, or made anew, each in one transaction. Neither trusts what an
earlier attempt has left: `compare` reads both databases to their ends and looks at every value of every row.
"""

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Row, Select, String, Table, delete, func, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from kegnet_client.core.errors import KegnetError
from kegnet_client.hub.store import schema

CHUNK_ROWS = 500
"""A request of REST v3 may hold much."""
TABLES = [table for table in schema.metadata.sorted_tables if table is not schema.versions]
"""Those that others point at come first."""
_GROWING = {*schema.RECORDS, schema.requests, schema.entries, schema.alarm_moments}
"""No row of these is ever changed or removed, and each new one has a higher number."""
_POINTED_AT = {schema.keys, schema.devices, schema.alarms}
"""No row of these is ever removed; others point at them."""

OnRow = Callable[[], None]
"""Called for each row."""


class TransferError(KegnetError):
    """The rows of one database are not in the other one: nothing was changed in the first."""

    exit_code = 75


def count_rows(connection: Connection) -> int:
    """How many rows there are to put into another database."""
    return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in TABLES)


def copy(here: Connection, there: Connection, on_row: OnRow) -> None:
    """Put into ``there``, which has the tables, what is missing of ``here``'s rows, in many transactions.

    ``here`` is in a transaction that keeps everybody else from writing. Raises `TransferError`.
    """
    for table in TABLES:
        try:
            if table in _GROWING:
                _add_missing(here, there, table, on_row)
            else:
                _bring_up_to_date(here, there, table, on_row)
            if "id" in table.c:
                _go_on_numbering(here, there, table)
        except SQLAlchemyError as error:
            raise TransferError(f"{table.name}: {' '.join(str(getattr(error, 'orig', error)).split())}") from error


def compare(here: Connection, there: Connection, on_row: OnRow) -> None:
    """`TransferError` unless both hold the same rows, value by value."""
    for table in TABLES:
        try:
            with there.begin():
                for row, copied in zip_longest(_read_in_order(here, table), _read_in_order(there, table)):
                    if row is None or copied is None or tuple(row) != tuple(copied):
                        raise TransferError(f"{table.name}: {_name(table, row or copied)} is not the same in both")
                    on_row()
        except SQLAlchemyError as error:
            raise TransferError(f"{table.name}: {' '.join(str(getattr(error, 'orig', error)).split())}") from error


def _add_missing(here: Connection, there: Connection, table: Table, on_row: OnRow) -> None:
    with there.begin():
        last = there.execute(select(func.max(table.c.id))).scalar() or 0
    rows = _chunks(here, select(table).where(table.c.id > last).order_by(table.c.id))
    for chunk in rows:
        with there.begin():
            there.execute(insert(table), chunk)
        for _ in chunk:
            on_row()


def _bring_up_to_date(here: Connection, there: Connection, table: Table, on_row: OnRow) -> None:
    statement = insert(table)
    with there.begin():
        if table in _POINTED_AT:
            statement = _upsert(table, there.dialect.name)
        else:
            there.execute(delete(table))
        for chunk in _chunks(here, select(table)):
            there.execute(statement, chunk)
            for _ in chunk:
                on_row()


def _upsert(table: Table, dialect: str) -> Any:
    key = list(table.primary_key.columns)
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    changed = {column.name: statement.excluded[column.name] for column in table.c if column not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=changed)


def _go_on_numbering(here: Connection, there: Connection, table: Table) -> None:
    """Give no number again that was given: whoever remembers one would take another row for it."""
    last = _last_number(here, table)
    if last == 0:
        return
    with there.begin():
        if there.dialect.name == "postgresql":
            there.execute(text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"), _of(table, last))
        elif table.dialect_options["sqlite"]["autoincrement"]:
            there.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), _of(table))
            there.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), _of(table, last))


def _last_number(connection: Connection, table: Table) -> int:
    highest = connection.execute(select(func.max(table.c.id))).scalar() or 0
    if connection.dialect.name == "sqlite":
        statement = "SELECT seq FROM sqlite_sequence WHERE name = :name"
    else:
        statement = (
            "SELECT last_value FROM pg_sequences WHERE (quote_ident(schemaname) || '.' || quote_ident(sequencename)) "
            "= pg_get_serial_sequence(:name, 'id')"
        )
    return max(highest, connection.execute(text(statement), _of(table)).scalar() or 0)


def _of(table: Table, last: int | None = None) -> dict[str, str | int]:
    return {"name": table.name} if last is None else {"name": table.name, "last": last}


def _in_order(connection: Connection, table: Table) -> Select[Any]:
    """All rows by their key, in the order of its bytes: else each database sorts texts in its own way."""
    by_bytes = "BINARY" if connection.dialect.name == "sqlite" else "C"
    key = table.primary_key.columns
    return select(table).order_by(
        *(column.collate(by_bytes) if isinstance(column.type, String) else column for column in key)
    )


def _read_in_order(connection: Connection, table: Table) -> Iterator[Row[Any]]:
    statement = _in_order(connection, table)
    with connection.execute(statement, execution_options={"yield_per": CHUNK_ROWS}) as rows:
        yield from rows


def _chunks(connection: Connection, statement: Select[Any]) -> Iterator[list[dict[str, Any]]]:
    with connection.execute(statement, execution_options={"yield_per": CHUNK_ROWS}) as rows:
        for chunk in rows.mappings().partitions():
            yield [dict(row) for row in chunk]


def _name(table: Table, row: Any) -> str:
    return ", ".join(f"{column.name} {getattr(row, column.name)}" for column in table.primary_key.columns)
