"""The pours of a keg or a tap are those that a look at each pour would find, and are found without such a look."""

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text

from kegnet_client.hub.store import pages, schema, volumes
from kegnet_client.hub.store.pages import Form, Query
from kegnet_client.hub.store.records import Store

DEVICES = [f"{number:08}-2222-4333-8444-555555555555" for number in range(2)]
BEGIN = 1_600_000_000_000
HOUR = 3_600_000
POURS = 8_000
KEGS_A_METER = 40
NAMES = ["id", "started_ms", "device", "pin", "tap", "keg", "volume_nl", "adjustment"]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def bar(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Four meters, one without a tap; one keg after the other at each, some adjusted pours. The tests only read it."""
    if request.param == "sqlite":
        where: Path | str = tmp_path_factory.mktemp("bar") / "hub.db"
    else:
        where = request.getfixturevalue("postgresql_server").make_database()
    with closing(Store(where)) as store:
        store.prepare()
        fill(store)
        yield store


def fill(store: Store) -> None:
    meters = [(device, pin) for device in DEVICES for pin in range(2)]
    chance = random.Random(7)  # noqa: S311 - no secret
    proof = {"protocol": "v3", "signed": b"", "signature": b"", "key": "f", "received_ms": BEGIN}
    pours = [
        {**proof, "device": device, "pin": pin, "pulses": 500, "elapsed_ms": 5000, "started_ms": BEGIN + number * HOUR}
        | {"record_id": f"{number:032}"}
        for number in range(POURS)
        for device, pin in [chance.choice(meters)]
    ]
    length = POURS * HOUR // KEGS_A_METER
    periods = [
        {"device": device, "pin": pin, "from_ms": BEGIN + place * length, "until_ms": BEGIN + (place + 1) * length}
        | {"nanolitres_per_pulse": 185_185, "tap": tap, "keg": tap * KEGS_A_METER + place}
        for tap, (device, pin) in enumerate(meters[:3], 1)
        for place in range(KEGS_A_METER)
    ]
    adjusted = [
        {"pour": number, "volume_nl": None, "keg": 50 if number % 3 else None, "what": "other", "reason": ""}
        for number in range(1, POURS, 100)
    ]

    def work(connection: Any) -> None:
        connection.execute(insert(schema.keys), {"fingerprint": "f", "pem": "p"})
        connection.execute(
            insert(schema.devices), [{"uuid": one, "name": one, "key": "f", "added_ms": 0} for one in DEVICES]
        )
        for table, rows in ((schema.pours, pours), (schema.meter_periods, periods), (schema.adjustments, adjusted)):
            connection.execute(insert(table), rows)

    store.write(work)
    if not store.is_sqlite:
        store.write(lambda connection: connection.execute(text("ANALYZE")))


ASKED: Sequence[dict[str, Any]] = [
    {"tap": 2},
    {"keg": 50},
    {"keg": 81},
    {"tap": 1, "keg": 50},
    {"tap": 2, "unassigned": True},
    {"tap": 9},
    {"keg": 7000},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_the_pours_of_a_keg_or_tap_are_those_that_a_look_at_each_would_find(bar: Store, asked: dict[str, Any]) -> None:
    columns = volumes.SELECT_POURS.selected_columns
    plain = volumes.SELECT_POURS.order_by(columns["started_ms"].desc(), columns["id"].desc())
    for name, value in asked.items():
        plain = plain.where(volumes.IS_UNASSIGNED if name == "unassigned" else columns[name] == value)
    for since_ms, until_ms, equal in (
        (None, None, ()),
        (BEGIN + 1000 * HOUR, BEGIN + 6000 * HOUR, ()),
        (None, None, (("device", DEVICES[0]), ("pin", 1))),
    ):
        wanted = plain
        if since_ms is not None:
            wanted = wanted.where(columns["started_ms"] >= since_ms, columns["started_ms"] < until_ms)
        for name, value in equal:
            wanted = wanted.where(columns[name] == value)
        expected = [row.id for row in bar.rows(wanted)]
        found: list[int] = []
        after = None
        while True:
            query = Query(700, after, since_ms, until_ms, equal)
            page = bar.page(volumes.select_pours(query, **asked), "started_ms", query)
            found += [row.id for row in page.rows]
            if page.next is None:
                break
            after = page.next
        assert found == expected


@pytest.mark.parametrize("asked", [{"tap": 2}, {"keg": 50}, {"keg": 81}], ids=str)
@pytest.mark.parametrize("form", Form)
def test_no_other_pours_are_looked_at_for_those_of_a_keg_or_tap(bar: Store, asked: dict[str, Any], form: Form) -> None:
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        statements.append((statement, values))

    query = Query(100)
    rows = volumes.select_pours(query, **asked)
    event.listen(bar._engine, "before_cursor_execute", note)
    bar.read(lambda connection: pages.read_page(connection, rows, NAMES, "started_ms", query, form))
    event.remove(bar._engine, "before_cursor_execute", note)
    statement, values = statements[-1]

    def explain(connection: Connection) -> list[str]:
        if connection.dialect.name == "postgresql":
            # Of so few rows it may like to look at all. Whether it has another way is asked here.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        words = "EXPLAIN QUERY PLAN" if bar.is_sqlite else "EXPLAIN"
        return [str(row[-1]) for row in connection.exec_driver_sql(f"{words} {statement}", values)]

    plan = bar.read(explain)
    scans = tuple(f"{scan} {table}" for scan in ("SCAN", "Seq Scan on") for table in ("pours", "meter_periods"))
    assert plan
    assert [one for one in plan if one.strip(" ->").startswith(scans)] == [], plan
