"""One piece of work after the other, in a thread of their own; and readers who take too long are ended."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, text

from kegnet_client.hub.store.database import StoreError, TooSlowError
from kegnet_client.hub.store.lanes import Lane
from kegnet_client.hub.store.records import Store

FOR_EVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane("test")
    yield lane
    lane.close(5)


def test_work_is_done_in_its_order_in_one_thread(lane: Lane) -> None:
    done = [lane.submit(lambda number=number: (number, threading.get_ident())) for number in range(20)]  # type: ignore[misc]  # mypy takes no default of a lambda
    found = [future.result(5) for future in done]
    assert [number for number, _ in found] == list(range(20))
    assert len({thread for _, thread in found} | {threading.get_ident()}) == 2


def test_what_fails_is_told_to_who_waits_and_the_next_is_done(lane: Lane) -> None:
    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await lane.run(lambda: 1 // 0)
        return await lane.run(lambda: 2)

    assert asyncio.run(main()) == 2


def test_who_does_not_wait_any_more_costs_nothing(lane: Lane) -> None:
    may_end = threading.Event()
    first = lane.submit(may_end.wait)
    done: list[int] = []
    second = lane.submit(lambda: done.append(2))
    assert second.cancel()
    may_end.set()
    assert first.result(5)
    lane.submit(lambda: done.append(3)).result(5)
    assert done == [3]


def test_what_was_given_before_the_end_is_done(lane: Lane) -> None:
    done = [lane.submit(lambda: 1) for _ in range(10)]
    lane.close(5)
    assert [future.result(0) for future in done] == [1] * 10


def check_slow_reads(store: Store) -> None:
    store.limit_reads(0.2)
    with pytest.raises(TooSlowError, match=r"longer than 0\.2 s: ask for less"):
        store.read(lambda connection: connection.execute(text(FOR_EVER)).scalar())
    assert store.read(lambda connection: connection.execute(text("SELECT 7")).scalar()) == 7


@pytest.mark.case(81)
def test_a_read_that_takes_too_long_is_ended_and_the_next_one_is_not(store: Store) -> None:
    check_slow_reads(store)


@pytest.mark.case(81)
@pytest.mark.process
def test_postgresql_ends_it_as_well(postgresql_store: Store) -> None:
    check_slow_reads(postgresql_store)


def test_a_reader_within_a_read_does_not_wait_for_itself(store: Store) -> None:
    assert store.read(lambda _connection: store.count()) == 0
    assert store.look(lambda _connection: store.count()) == 0
    assert store.read(lambda _connection: store.event_bounds()) == (1, 0)


@contextmanager
def long_page(store: Store) -> Iterator[None]:
    """While somebody reads for long."""
    has_begun, may_end = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        has_begun.set()
        assert may_end.wait(60)

    page = store.reading.submit(lambda: store._read(work))
    try:
        assert has_begun.wait(10)
        yield
        assert not page.done()
    finally:
        may_end.set()
        page.result(10)


@pytest.mark.parametrize("kind", ["store", pytest.param("postgresql_store", marks=pytest.mark.process)])
def test_who_reads_a_row_does_not_wait_behind_a_page(request: pytest.FixtureRequest, kind: str) -> None:
    store: Store = request.getfixturevalue(kind)
    with long_page(store):
        assert store.look(lambda connection: connection.execute(text("SELECT 7")).scalar()) == 7
        assert asyncio.run(store.look_soon(lambda connection: connection.execute(text("SELECT 8")).scalar())) == 8
        assert store.device("11111111-2222-4333-8444-555555555555") is None
        assert store.events_after(0, 10) == []


def test_tokens_and_rows_are_answered_while_somebody_reads_a_long_page(
    hub_store: Store, reader: httpx.Client, web: httpx.Client
) -> None:
    number = reader.post("/api/beverages", json={"name": "Helles"}).json()["id"]
    with long_page(hub_store):
        assert web.get("/api/settings", headers={"Authorization": f"Bearer {'x' * 43}"}).status_code == 401
        assert reader.get("/api/settings").status_code == 200
        assert reader.get(f"/api/beverages/{number}").json()["name"] == "Helles"


def test_who_waits_too_long_behind_other_readers_is_told_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kegnet_client.hub.store.database.PATIENCE_S", 0.05)
    may_end = threading.Event()
    first = store.reading.submit(may_end.wait)
    with pytest.raises(StoreError, match="busy with other readers"):
        store.count()
    may_end.set()
    assert first.result(5)


def test_a_store_that_was_closed_ends_its_threads(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "hub.db")) as store:
        store.prepare()
        (thread,) = {store.reading.submit(threading.current_thread).result(5)}
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("use", [Store.read, Store.look, Store.write])
def test_who_is_at_work_when_a_store_is_closed_leaves_no_connection_open(
    store: Store, use: Callable[[Store, Callable[[Connection], object]], object]
) -> None:
    has_begun, may_end = threading.Event(), threading.Event()
    used: list[Any] = []

    def work(connection: Connection) -> None:
        used.append(connection.connection.driver_connection)
        has_begun.set()
        assert may_end.wait(10)

    late = threading.Thread(target=use, args=(store, work))
    late.start()
    assert has_begun.wait(10)
    store.close()
    used[0].execute("SELECT 1")
    may_end.set()
    late.join(10)
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        used[0].execute("SELECT 1")


@pytest.mark.parametrize("use", [Store.read, Store.look])
def test_who_comes_after_a_store_was_closed_leaves_no_connection_open(
    store: Store, use: Callable[[Store, Callable[[Connection], Any]], Any]
) -> None:
    store.close()
    connection = use(store, lambda connection: connection.connection.driver_connection)
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        connection.execute("SELECT 1")


@pytest.mark.case(81)
def test_a_page_that_takes_too_long_is_a_problem_that_says_so(
    reader: httpx.Client, hub_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_page(*_: object) -> object:
        raise TooSlowError("it took longer than 2 s: ask for less")

    monkeypatch.setattr("kegnet_client.hub.store.records.read_page", read_page)
    answer = reader.get("/api/pours")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["detail"] == "it took longer than 2 s: ask for less"
