"""A database that 0.1.0 made is brought up to date with all that it holds, on SQLite and on PostgreSQL.

``released`` holds what its own code left there: a device that changed its key and announces another, one with an
Ed25519 key, an invitation; pours of v2 by the first one's old and new key, and a request of v3 by the second.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from sqlalchemy import create_engine, inspect, make_url, select

from kegnet_client.hub.ingest.batch import Batch
from kegnet_client.hub.ingest.rows import Receipt
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.migrations import migrate
from kegnet_client.hub.store.migrations.versions import v0001_released
from kegnet_client.hub.store.records import Store

from ..support.postgresql import PostgreSQL
from ..support.waits import WAIT_S

RELEASED = Path(__file__).parent / "released"
ONE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
TWO = "11111111-2222-4333-8444-555555555555"
KEY_OF_TWO = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TS = 1_700_000_000_000

PREPARE = """
import sys
from kegnet_client.hub.store.records import Store
sys.stdin.readline()
store = Store(sys.argv[1])
store.prepare()
store.close()
"""

MakeDatabase = Callable[[], str]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def make_empty(request: pytest.FixtureRequest, tmp_path: Path) -> MakeDatabase:
    """Makes the URL of an empty database."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path / f'{len(list(tmp_path.iterdir()))}.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql_server")
    return server.make_database


@pytest.fixture
def make_released(make_empty: MakeDatabase) -> MakeDatabase:
    """Makes the URL of a database as 0.1.0 left it."""

    def make() -> str:
        url = make_url(text := make_empty())
        sql = (RELEASED / f"0.1.0-{url.get_backend_name()}.sql").read_text()
        if url.get_backend_name() == "sqlite":
            with closing(sqlite3.connect(str(url.database))) as connection:
                connection.executescript(sql)
                connection.execute("PRAGMA journal_mode=WAL")
        else:
            with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as other:
                other.execute(sql.encode())
        return text

    return make


def describe(url: str) -> dict[str, Any]:
    """The tables: their columns, keys and indexes."""
    engine = create_engine(url)
    found = inspect(engine)
    described = {
        table: {
            "columns": {one["name"]: (str(one["type"]), one["nullable"]) for one in found.get_columns(table)},
            "key": found.get_pk_constraint(table),
            "points": sorted(
                (one["constrained_columns"], one["referred_table"], one["referred_columns"])
                for one in found.get_foreign_keys(table)
            ),
            "unique": sorted(one["column_names"] for one in found.get_unique_constraints(table)),
            "indexes": sorted(
                (str(one["name"]), one["column_names"], one["unique"]) for one in found.get_indexes(table)
            ),
        }
        for table in found.get_table_names()
    }
    engine.dispose()
    return described


def ask(url: str, *columns: Any) -> list[tuple[Any, ...]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(select(*columns).order_by(*columns))]
    engine.dispose()
    return rows


def prepare(url: str) -> None:
    with closing(Store(url)) as store:
        store.prepare()


def test_all_ways_lead_to_the_same_tables(make_empty: MakeDatabase, make_released: MakeDatabase) -> None:
    made, stepped, released = make_empty(), make_empty(), make_released()
    prepare(made)
    migrate(make_url(stepped))
    prepare(released)
    assert describe(made) == describe(stepped) == describe(released)
    for url in (made, stepped, released):
        assert ask(url, schema.versions.c.version_num) == [(schema.VERSION,)]


def test_what_it_held_is_there_and_more_is_taken(
    make_released: MakeDatabase, submission: Callable[..., Batch], record: Callable[..., dict[str, object]]
) -> None:
    url = make_released()
    # Later versions added columns.
    held = [
        [schema.metadata.tables[table.name].c[column.name] for column in table.columns]
        for table in v0001_released.metadata.sorted_tables
    ]
    before = [ask(url, *columns) for columns in held]
    prepare(url)
    assert [ask(url, *columns) for columns in held] == before
    pour = record("pour", TWO, pin=1, pulses=4, elapsed_ms=1, started_ms=TS)
    with closing(Store(url)) as store:
        (receipt,) = store.ingest([submission(TWO, [pour], key=KEY_OF_TWO)], TS)
        assert isinstance(receipt, Receipt)
        assert receipt.is_new == (True,)
        assert [one.fault for one in store.verify_stored()] == [None] * 6


def test_the_sums_of_what_it_held_are_there(make_released: MakeDatabase) -> None:
    url = make_released()
    prepare(url)
    pours, days = schema.pours.c, schema.pours_by_day.c
    expected: dict[tuple[str, int, int], list[int]] = {}
    for device, pin, started_ms, pulses in ask(url, pours.device, pours.pin, pours.started_ms, pours.pulses):
        expected.setdefault((device, pin, started_ms // 86_400_000), []).append(pulses)
    assert ask(url, days.device, days.pin, days.day, days.pours, days.pulses) == sorted(
        (*key, len(pulses), sum(pulses)) for key, pulses in expected.items()
    )
    readings, hours = schema.temperatures.c, schema.readings_by_hour.c
    assert sum(count for (count,) in ask(url, hours.readings)) == len(ask(url, readings.id))


def test_the_keys_that_only_records_tell_of_are_inferred(make_released: MakeDatabase) -> None:
    url = make_released()
    prepare(url)
    table, devices = schema.device_keys.c, schema.devices.c
    found = {(device, key): inferred for device, key, inferred in ask(url, table.device, table.key, table.inferred)}
    rows = ask(url, devices.uuid, devices.key, devices.next_key)
    (key, next_key), *_ = [(key, next_key) for uuid, key, next_key in rows if uuid == ONE]
    assert len(found) == 4
    assert [found[ONE, key], found[ONE, next_key]] == [False, False]
    assert [inferred for (device, _), inferred in sorted(found.items()) if device == TWO] == [False]
    assert sum(found.values()) == 1


def test_what_is_damaged_holds_nothing_up(make_released: MakeDatabase) -> None:
    url = make_released()
    engine = create_engine(url)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET session_replication_role = replica")  # let rows point at nothing
        connection.exec_driver_sql("UPDATE pours SET key = 'x' WHERE id = 1")
        connection.exec_driver_sql("UPDATE pours SET device = 'y' WHERE id = 2")
    engine.dispose()
    prepare(url)
    assert ask(url, schema.versions.c.version_num) == [(schema.VERSION,)]


@pytest.mark.process
@pytest.mark.parametrize("is_new", [True, False], ids=["empty", "released"])
def test_four_hubs_at_once_make_it_once(make_empty: MakeDatabase, make_released: MakeDatabase, is_new: bool) -> None:
    url = (make_empty if is_new else make_released)()
    hubs = [
        subprocess.Popen([sys.executable, "-c", PREPARE, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for hub in hubs:
        assert hub.stdin is not None
        hub.stdin.write("\n")
        hub.stdin.flush()
    for hub in hubs:
        _, said = hub.communicate(timeout=2 * WAIT_S)
        assert hub.returncode == 0, said
    assert ask(url, schema.versions.c.version_num) == [(schema.VERSION,)]


def test_a_step_that_fails_is_undone_and_told(make_released: MakeDatabase) -> None:
    url = make_released()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE device_keys (id INTEGER)")
    engine.dispose()
    before = describe(url)
    with (
        closing(Store(url)) as store,
        pytest.raises(StoreError, match=r"cannot be brought up to date: .*already exists"),
    ):
        store.prepare()
    assert {name: table for name, table in describe(url).items() if name != "alembic_version"} == before
    assert ask(url, schema.versions.c.version_num) == [("0001",)]


def test_a_database_of_a_newer_version_is_left_alone(make_empty: MakeDatabase) -> None:
    prepare(url := make_empty())
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(schema.versions.update().values(version_num="9999"))
    engine.dispose()
    with closing(Store(url)) as store, pytest.raises(StoreError, match="newer version"):
        store.prepare()
