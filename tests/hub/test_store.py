"""The hub's database, on a real file and on a real PostgreSQL."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Table, event

from kegnet_client.core.errors import UsageError
from kegnet_client.hub.ingest.batch import Batch
from kegnet_client.hub.ingest.forms import Claim
from kegnet_client.hub.ingest.rows import Receipt, Submission
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.database import StoreError, check_url
from kegnet_client.hub.store.pages import Form, Query
from kegnet_client.hub.store.records import Store

ONE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
TWO = "11111111-2222-4333-8444-555555555555"
START = 1_700_000_000_000

MakeClaim = Callable[..., Claim]
Together = Callable[[int], Batch]


def pour(claim: MakeClaim, number: int, device: str = ONE) -> Claim:
    return claim("pour", id=device, pin=number % 2, pulses=100 + number, et=1000, ts=START + number)


def ingest(store: Store, submissions: Sequence[Submission], now_ms: int = START) -> list[bool]:
    """Which of them are new; none may be refused."""
    new: list[bool] = []
    for outcome in store.ingest(submissions, now_ms):
        assert isinstance(outcome, Receipt)
        new += outcome.is_new
    return new


def fill(store: Store, claim: MakeClaim, key: rsa.RSAPrivateKey, count: int) -> int:
    store.add_device(ONE, key.public_key(), "one", START)
    store.add_device(TWO, key.public_key(), "two", START)
    return sum(ingest(store, [pour(claim, number // 3, (ONE, TWO)[number % 2]) for number in range(count)]))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The file behind the fixture ``store``."""
    return tmp_path / "hub.db"


@pytest.fixture
def together(submission: Callable[..., Batch], record: Callable[..., dict[str, object]]) -> Together:
    """``together(n)``: the pour that ``pour(claim, n)`` is and the n-th reading, in one request of REST v3."""

    def make(number: int) -> Batch:
        return submission(
            ONE,
            [
                record("pour", ONE, pin=number % 2, pulses=100 + number, elapsed_ms=1000, started_ms=START + number),
                record("reading", ONE, sensor="28-0316a2795c5b", millidegrees=number, taken_ms=START + number),
            ],
        )

    return make


def check_whole_life(store: Store, claim: MakeClaim, together: Together, key: rsa.RSAPrivateKey) -> None:
    """The promises that hold on every database."""
    store.add_device(ONE.upper(), key.public_key(), "one", START)
    with pytest.raises(UsageError, match="already"):
        store.add_device(ONE, key.public_key(), "again", START)
    batch = [
        pour(claim, 1),
        pour(claim, 2),
        claim("ping", id=ONE.upper(), temp=3875, ts=START),
        claim("ping", id=ONE, temp=-1, ts=START),
        claim("ip", id=ONE, ip="10.0.0.7", ts=START),
    ]
    assert ingest(store, batch, START + 5) == [True] * 5
    assert ingest(store, batch, START + 9) == [False] * 5
    device = store.device(ONE.upper())
    assert device is not None
    assert (device.last_seen_ms, device.address, device.revoked_ms) == (START + 5, "10.0.0.7", None)
    rows = store.page(schema.pours, "started_ms", Query(limit=1)).rows
    assert [(row.pulses, row.device) for row in rows] == [(102, ONE)]
    assert ingest(store, [together(1), together(2), together(2)]) == [False, True, False, True, False, False]
    assert [row.request is None for row in store.page(schema.pours, "started_ms", Query(9)).rows] == [True, True]
    readings = store.page(schema.temperatures, "taken_ms", Query(9)).rows
    assert [(row.millidegrees, row.request is None) for row in readings] == [(2, False), (1, False), (3875, True)]
    assert len({row.request for row in readings}) == 3
    checked = list(store.verify_stored())
    assert [row.fault for row in checked] == [None] * 7
    assert store.count() == 7
    store.revoke_device(ONE, START + 10)
    store.revoke_device(ONE, START + 11)
    assert [device.revoked_ms for device in store.devices()] == [START + 10]
    with pytest.raises(UsageError, match="not registered"):
        store.revoke_device(TWO, START)


def test_a_record_is_stored_once_with_its_proof(
    store: Store, claim: MakeClaim, together: Together, device_key: rsa.RSAPrivateKey
) -> None:
    check_whole_life(store, claim, together, device_key)


@pytest.mark.process
def test_postgresql_keeps_the_same_promises(
    postgresql_store: Store, claim: MakeClaim, together: Together, device_key: rsa.RSAPrivateKey
) -> None:
    check_whole_life(postgresql_store, claim, together, device_key)


def test_postgresql_that_is_away_is_said_so(claim: MakeClaim) -> None:
    with closing(Store("postgresql+psycopg://hub@127.0.0.1:9/none")) as store, pytest.raises(StoreError):
        store.ingest([pour(claim, 1)], START)


def test_a_commit_is_on_disk(store: Store, database: Path) -> None:
    with store._engine.connect() as connection:
        settings = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]
    assert database.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("limit", [1, 3, 7, 60])
def test_paging_shows_every_row_once_while_more_arrive(
    store: Store, claim: MakeClaim, device_key: rsa.RSAPrivateKey, limit: int
) -> None:
    stored = fill(store, claim, device_key, 40)
    seen: list[int] = []
    query = Query(limit)
    while True:
        page = store.page(schema.pours, "started_ms", query)
        seen += [row.id for row in page.rows]
        if page.next is None:
            break
        query = Query(limit, after=page.next)
        store.ingest([pour(claim, 1000 + len(seen))], START)
    assert sorted(seen) == list(range(1, stored + 1))


def test_filters_narrow_what_is_shown(store: Store, claim: MakeClaim, device_key: rsa.RSAPrivateKey) -> None:
    fill(store, claim, device_key, 40)
    query = Query(100, since_ms=START + 2, until_ms=START + 6, equal=(("device", ONE), ("pin", 1)))
    rows = store.page(schema.pours, "started_ms", query).rows
    assert [(row.started_ms - START, row.pin, row.device) for row in rows] == [(5, 1, ONE), (3, 1, ONE)]


@pytest.mark.parametrize(
    ("until", "after", "shown"),
    [(4, (7, 99), [3, 2, 1]), (7, (4, 1), [3, 2, 1]), (4, (4, 0), [3, 2, 1]), (4, (4, 99), [3, 2, 1]), (0, (7, 1), [])],
)
def test_a_page_ends_at_the_earlier_of_its_two_bounds(
    store: Store,
    claim: MakeClaim,
    device_key: rsa.RSAPrivateKey,
    until: int,
    after: tuple[int, int],
    shown: list[int],
) -> None:
    fill(store, claim, device_key, 0)
    ingest(store, [pour(claim, number) for number in range(1, 10)])
    query = Query(100, (START + after[0], after[1]), START + 1, START + until)
    rows = store.page(schema.pours, "started_ms", query).rows
    assert [row.started_ms - START for row in rows] == shown


@pytest.mark.parametrize("since_ms", [None, 4])
@pytest.mark.parametrize("until_ms", [None, 9])
@pytest.mark.parametrize("after", [None, (7, 5)])
@pytest.mark.parametrize(
    ("table", "time_column", "equal", "index"),
    [
        (schema.pours, "started_ms", {}, "pours_by_time"),
        (schema.pours, "started_ms", {"device": ONE}, "pours_by_device"),
        (schema.pours, "started_ms", {"pin": 0}, "pours_by_pin"),
        (schema.pours, "started_ms", {"device": ONE, "pin": 0}, "pours_by_device_pin"),
        (schema.temperatures, "taken_ms", {}, "temperatures_by_time"),
        (schema.temperatures, "taken_ms", {"device": ONE}, "temperatures_by_device"),
        (schema.temperatures, "taken_ms", {"sensor": "x"}, "temperatures_by_sensor"),
        (schema.temperatures, "taken_ms", {"device": ONE, "sensor": "x"}, "temperatures_by_device_sensor"),
        (schema.devices, "added_ms", {}, "devices_by_time"),
    ],
)
def test_every_page_is_read_along_an_index_of_its_own(
    store: Store,
    database: Path,
    table: Table,
    time_column: str,
    equal: dict[str, str | int],
    index: str,
    since_ms: int | None,
    until_ms: int | None,
    after: tuple[int, int] | None,
) -> None:
    asked: list[tuple[str, Any]] = []
    event.listen(
        store._engine,
        "before_cursor_execute",
        lambda _connection, _cursor, text, values, *_: asked.append((text, values)),
    )
    query = Query(100, after, since_ms, until_ms, tuple(equal.items()))
    asyncio.run(store.page_text(table, [time_column], time_column, query, Form.JSON))
    text, values = asked[-1]
    with closing(sqlite3.connect(database)) as connection:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values))
    assert f"USING INDEX {index} " in plan + " "
    assert "B-TREE" not in plan


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("pulses = pulses + 1", "columns pulses"),
        ("record_id = 'x'", "columns record_id"),
        ("started_ms = 5", "columns started_ms"),
        ("signed = CAST(replace(signed, '101', '109') AS BLOB)", "signature"),
        ("signature = x'00'", "signature"),
        ("signed = x'00'", "fields"),
        ("protocol = 'v9'", "v9"),
    ],
)
def test_a_row_that_was_changed_later_does_not_verify(
    store: Store, claim: MakeClaim, device_key: rsa.RSAPrivateKey, database: Path, change: str, fault: str
) -> None:
    fill(store, claim, device_key, 0)
    store.ingest([pour(claim, 1), pour(claim, 2)], START)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE pours SET {change} WHERE id = 1")  # noqa: S608 - fixed text
    first, second = store.verify_stored(ONE)
    assert fault in str(first.fault)
    assert second.fault is None
    assert list(store.verify_stored(TWO)) == []


def test_a_writer_waits_for_its_turn_behind_another_process(
    store: Store, claim: MakeClaim, device_key: rsa.RSAPrivateKey, database: Path
) -> None:
    fill(store, claim, device_key, 0)
    stored: list[bool] = []
    writer = threading.Thread(target=lambda: stored.extend(ingest(store, [pour(claim, 1)])))
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer.start()
        writer.join(0.6)
        assert writer.is_alive()
        other.execute("ROLLBACK")
    writer.join()
    assert stored == [True]


def test_who_waits_is_sent_home_when_the_hub_stops(
    store: Store, claim: MakeClaim, device_key: rsa.RSAPrivateKey, database: Path
) -> None:
    fill(store, claim, device_key, 0)
    failed: list[StoreError] = []

    def write() -> None:
        try:
            store.ingest([pour(claim, 1)], START)
        except StoreError as error:
            failed.append(error)

    writers = [threading.Thread(target=write) for _ in range(10)]
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for writer in writers:
            writer.start()
        begin = time.monotonic()
        store.close()
        for writer in writers:
            writer.join()
    assert time.monotonic() - begin < 1
    assert len(failed) == 10


def test_in_a_hurry_what_can_be_stored_is_and_no_lock_is_waited_for(
    store: Store, claim: MakeClaim, device_key: rsa.RSAPrivateKey, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kegnet_client.hub.store.database.PATIENCE_S", 60.0)
    fill(store, claim, device_key, 0)
    store.hurry()
    assert ingest(store, [pour(claim, 1)]) == [True]
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            store.ingest([pour(claim, 2)], START)


def test_many_writers_at_once_all_get_through(store: Store, claim: MakeClaim, device_key: rsa.RSAPrivateKey) -> None:
    fill(store, claim, device_key, 0)
    records = [pour(claim, number) for number in range(40)]
    writers = [threading.Thread(target=store.ingest, args=([record], START)) for record in records * 2]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(store.page(schema.pours, "started_ms", Query(1000)).rows) == 40


def test_a_full_disk_stores_nothing_and_passes(store: Store, claim: MakeClaim, device_key: rsa.RSAPrivateKey) -> None:
    fill(store, claim, device_key, 0)
    with store._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    batch = [pour(claim, number) for number in range(30)]
    with pytest.raises(StoreError, match="full"):
        store.ingest(batch, START)
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert store.page(schema.pours, "started_ms", Query(10)).rows == []
    assert all(ingest(store, batch))


def test_nothing_is_written_into_a_file_that_was_taken_away(
    store: Store, claim: MakeClaim, device_key: rsa.RSAPrivateKey, database: Path
) -> None:
    fill(store, claim, device_key, 0)
    away = database.with_name("away.db")
    database.rename(away)
    with pytest.raises(StoreError, match="removed or replaced"):
        store.ingest([pour(claim, 1)], START)
    away.rename(database)
    assert ingest(store, [pour(claim, 1)]) == [True]


def test_a_directory_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "no" / "hub.db")) as store, pytest.raises(StoreError, match="cannot be opened"):
        store.prepare()


def test_a_file_that_is_no_database_is_named_and_to_be_put_back(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"x" * 4096)
    with closing(Store(tmp_path / "hub.db")) as store, pytest.raises(StoreError) as caught:
        store.prepare()
    assert str(caught.value) == f"{tmp_path}/hub.db: file is not a database; put it back from a backup"


@pytest.mark.parametrize("url", ["", "mysql://x/y", "postgresql://x/y", "sqlite:///here.db", "sqlite://", "no url"])
def test_databases_that_the_hub_does_not_use(url: str) -> None:
    with pytest.raises(UsageError, match="--database"):
        check_url(url)


@pytest.mark.parametrize("url", ["postgresql+psycopg://u@h/n", "sqlite:////var/lib/hub.db"])
def test_databases_that_it_does(url: str) -> None:
    check_url(url)
