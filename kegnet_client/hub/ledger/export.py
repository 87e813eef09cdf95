"""Writes the ledger: all records with their proofs, the keys, the devices and what people said, out of one snapshot.

Rows are read a page at a time and written as they come, so that the ledger of a million records takes no more memory
than that of a thousand. What is stored while it is written is not in it: the whole of it is of one moment. Nothing is
judged here; whatever somebody has written into a row goes into its line, and `verify` says what is wrong with it.

First come the devices and their keys, each of which the CA's key vouches for, then the entries, then the records that
have a signature of their own, and then the requests of REST v3, each with the records that it brought.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from pydantic import BaseModel
from sqlalchemy import Connection, Row, Select, Table, select

import kegnet_client
from kegnet_client.hub import pki
from kegnet_client.hub.api import records as api
from kegnet_client.hub.home import Home
from kegnet_client.hub.ledger import lines
from kegnet_client.hub.store import pages, schema, volumes
from kegnet_client.hub.store.database import Database

OnRows = Callable[[int], None]
"""Is called with how many rows more are written."""
OpenNew = Callable[[str], BinaryIO]
"""Opens a new file of this name."""

WORK_NAME = ".kegnet-hub-export"
_ROWS = 500
_REQUESTS = 8
"""How much is held in memory at a time."""
_BEFORE_ALL = -(2**63)
_DEVICE = ("uuid", "name", "added_ms", "revoked_ms", "last_seen_ms", "address")
_PROOF_OF_ITS_OWN = ("signed", "signature")
_CSV: Mapping[str, tuple[Table | Select[Any], str, type[BaseModel]]] = {
    "pours.csv": (volumes.SELECT_POURS, "started_ms", api.Pour),
    "temperatures.csv": (schema.temperatures, "taken_ms", api.Reading),
    "devices.csv": (schema.devices, "added_ms", api.Device),
}


def _say_nothing(_count: int) -> None:
    pass


def write_ledger(
    home: Home, database: Database, stream: BinaryIO, now_ms: int, on_rows: OnRows = _say_nothing
) -> Mapping[str, int]:
    """Write what ``database`` holds to ``stream``, signed by the CA in ``home``; how many lines of each kind."""
    key_pem, ca_pem = home.ca_pair()
    sign = pki.signer_of(key_pem, ca_pem)

    def write(line: bytes) -> None:
        stream.write(line)
        on_rows(1)

    writer = lines.Writer(write)

    def work(connection: Connection) -> None:
        connection = _freeze(connection)
        head = {
            "format": lines.FORMAT,
            "version": lines.FORMAT_VERSION,
            "made_ms": now_ms,
            "made_by": f"kegnet-client {kegnet_client.__version__}",
            "ca": ca_pem.decode("ascii", "replace"),
        }
        writer.put(lines.HEAD, head)
        _write_devices(connection, writer, sign)
        for row in _rows(connection, schema.entries, select(schema.entries), _ROWS):
            writer.put(lines.ENTRY, _facts(row))
        for table in schema.RECORDS:
            for row in _rows(connection, table, select(table).where(table.c.request.is_(None)), _ROWS):
                writer.put(table.name, _facts(row, without=("request",)))
        _write_requests(connection, writer)
        writer.end(sign)

    database.read(work)
    return writer.counts


def write_csv(database: Database, open_new: OpenNew, on_rows: OnRows = _say_nothing) -> Mapping[str, int]:
    """Write pours (with volumes), temperatures and devices, newest first, as ``/api`` gives them; rows a file."""
    counts = {}

    def work(connection: Connection) -> None:
        connection = _freeze(connection)
        for name, (rows, time_column, kind) in _CSV.items():
            names = list(kind.model_fields)
            counts[name] = _write_table(connection, open_new(name), rows, time_column, names, on_rows)

    database.read(work)
    return counts


def _write_table(
    connection: Connection,
    stream: BinaryIO,
    rows: Table | Select[Any],
    time_column: str,
    names: Sequence[str],
    on_rows: OnRows,
) -> int:
    after = None
    count = 0
    while True:
        query = pages.Query(api.MAX_LIMIT, after)
        page = pages.read_page(connection, rows, names, time_column, query, pages.Form.CSV)
        _names, _, rest = page.content.partition(pages.LINE_END.encode())
        stream.write(rest if after else page.content)
        count += (more := rest.count(pages.LINE_END.encode()))
        on_rows(more)
        after = pages.parse_position(page.next)
        if after is None:
            return count


def _freeze(connection: Connection) -> Connection:
    """Let all that ``connection`` reads be of one moment; nothing was read on it yet."""
    if connection.dialect.name == "postgresql":
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
        # A page is soon read, but not while everything else on a small machine is busy.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    return connection  # SQLite's transactions are like that anyway


def _write_devices(connection: Connection, writer: lines.Writer, sign: Callable[[bytes], bytes]) -> None:
    table = schema.devices
    for row in connection.execute(select(*(table.c[name] for name in _DEVICE)).order_by(table.c.id)):
        writer.put(lines.DEVICE, _facts(row))
    pairs = schema.device_keys
    statement = select(pairs, schema.keys.c.pem).outerjoin(schema.keys).order_by(pairs.c.device, pairs.c.since_ms)
    for row in connection.execute(statement):
        inferred = bool(row.inferred)
        statement_of_it = lines.key_statement(row.device, row.key, row.since_ms, inferred)
        vouched = {"inferred": inferred, "vouched": lines.encode(sign(statement_of_it))}
        writer.put(lines.KEY, {**_facts(row), **vouched})


def _write_requests(connection: Connection, writer: lines.Writer) -> None:
    table = schema.requests
    last_id = _BEFORE_ALL
    while True:
        statement = select(table).where(table.c.id > last_id).order_by(table.c.id).limit(_REQUESTS)
        requests = connection.execute(statement).all()
        up_to = requests[-1].id if requests else None
        pointers = _read_pointers(connection, last_id, up_to)
        for request in requests:
            writer.put(lines.REQUEST, _facts(request))
            _put_pointers(writer, pointers.pop(request.id, ()))
        for others in pointers.values():  # which point at no request that is stored
            _put_pointers(writer, others)
        if up_to is None:
            return
        last_id = up_to


def _read_pointers(connection: Connection, after: int, up_to: int | None) -> dict[int, list[tuple[str, Row[Any]]]]:
    """The records that the requests behind ``after`` brought, up to ``up_to``."""
    found: dict[int, list[tuple[str, Row[Any]]]] = {}
    for table in schema.RECORDS:
        statement = select(table).where(table.c.request > after).order_by(table.c.request, table.c.id)
        if up_to is not None:
            statement = statement.where(table.c.request <= up_to)
        for row in connection.execute(statement):
            found.setdefault(row.request, []).append((table.name, row))
    return found


def _put_pointers(writer: lines.Writer, rows: Sequence[tuple[str, Row[Any]]]) -> None:
    for kind, row in rows:
        writer.put(kind, _facts(row, without=_PROOF_OF_ITS_OWN))


def _rows(connection: Connection, table: Table, statement: Select[Any], count: int) -> Iterator[Row[Any]]:
    """What ``statement`` finds in ``table``, in the order of ids, ``count`` rows in memory at a time."""
    last_id = _BEFORE_ALL
    ordered = statement.order_by(table.c.id).limit(count)
    while rows := connection.execute(ordered.where(table.c.id > last_id)).all():
        yield from rows
        last_id = rows[-1].id


def _facts(row: Row[Any], without: Sequence[str] = ()) -> dict[str, Any]:
    return {name: lines.encode(value) for name, value in row._mapping.items() if name not in without}
