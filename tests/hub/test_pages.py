"""The database writes a page as Python would: every value, in either form, on either database."""

import csv
import io
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Column, MetaData, Table, Text, insert, literal, select

from kegnet_client.hub.store.pages import Form, Query, csv_text, read_page
from kegnet_client.hub.store.records import Store

TEXTS = [
    *("", "plain", "=1+1", "+1", "-1", "-1.5", "1.5", "+1.", "+.5", "--1", "+-1", "-1e5", "-", "+", "@x", "-1.5.2"),
    *(
        " =x",
        "\t=x",
        "\tx",
        "\rx",
        "\nx",
        "\u2003=x",
        "\u00a0@x",
        "\u3000-x",
        "\x1c-x",
        "x=1",
        "'=x",
        "-1\n",
        "-\u0661",
    ),
    *('say "so"', "a,b", "a\r\nb", "\U0001f37a beer", "\\", "/", "\x01", "ü", "%_%", "=a,b", '-"'),
]
NAMES = ["id", "name", "amount", "is_good"]
_things = Table(
    "things",
    MetaData(),
    Column("id", BigInteger, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("name", Text),
    Column("amount", BigInteger),
    Column("is_good", Boolean),
)


def fill(store: Store) -> list[dict[str, Any]]:
    """Things with all kinds of values, in the order in which a page shows them."""
    amounts = [None, 0, -7, 2**53 + 1, 2**62]
    things = [
        {
            "id": number + 1,
            "at_ms": 1000 + number // 3,
            "name": name,
            "amount": amounts[number % len(amounts)],
            "is_good": [None, True, False][number % 3],
        }
        for number, name in enumerate([*TEXTS, None])
    ]
    store.write(lambda connection: _things.create(connection))
    store.write(lambda connection: connection.execute(insert(_things), things))
    return things[::-1]


def read_all(store: Store, form: Form, limit: int) -> list[Any]:
    """What the pages of ``limit`` rows show together."""
    found: list[Any] = []
    after = None
    while True:
        query = Query(limit, after)
        page = store.read(lambda connection, query=query: read_page(connection, _things, NAMES, "at_ms", query, form))  # type: ignore[misc]  # mypy takes no default of a lambda
        if form is Form.JSON:
            read = json.loads(page.content)
            assert read["next"] == page.next
            found += read["items"]
        else:
            found += csv.DictReader(io.StringIO(page.content.decode(), newline=""))
        if page.next is None:
            return found
        time_ms, _, row_id = page.next.partition(".")
        after = int(time_ms), int(row_id)


def csv_cell(text: str) -> str:
    """What a cell of ``text`` is to be, in other words than the database's."""
    looks_so = text.lstrip().startswith(("=", "+", "-", "@")) or text.startswith(("\t", "\r", "\n"))
    return f"'{text}" if looks_so and not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text) else text


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        *(
            (text, f"'{text}")
            for text in ("=1+1", "+cmd", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", " =1", "-1+1", "--5")
        ),
        *((text, text) for text in ("Helles", "-5", "+3.25", "5", "", "a=b", "28-0000057fa1b2")),
    ],
)
def test_no_cell_is_a_formula_and_numbers_stay(store: Store, text: str, cell: str) -> None:
    assert csv_cell(text) == cell
    found = store.read(lambda connection: connection.execute(select(csv_text(literal(text)))).scalar_one())
    assert next(csv.reader([found])) == ([cell] if cell else [])


def check(store: Store) -> None:
    things = fill(store)
    expected = [{name: thing[name] for name in NAMES} for thing in things]
    as_cells = [
        {name: "" if value is None else csv_cell(str(value)) for name, value in one.items()} for one in expected
    ]
    for limit in (1, 7, len(things), 1000):
        assert read_all(store, Form.JSON, limit) == expected
        assert read_all(store, Form.CSV, limit) == as_cells


def test_a_page_of_sqlite_is_what_python_would_write(store: Store) -> None:
    check(store)


@pytest.mark.process
def test_a_page_of_postgresql_is_as_well(postgresql_store: Store) -> None:
    check(postgresql_store)


@pytest.mark.parametrize("text", TEXTS)
def test_a_cell_is_quoted_as_python_quotes_it(store: Store, text: str) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerow([csv_cell(text), "x"])
    found = store.read(lambda connection: connection.execute(select(csv_text(literal(text)))).scalar())
    assert f"{found},x\r\n" == written.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"),
    [("x'00ff'", "\x00\ufffd"), ("1.5", "1.5"), ("9e999", "Inf"), ("'many'", "many"), ("x'41'", "A")],
)
def test_what_json_has_no_word_for_is_shown_as_a_text(store: Store, tmp_path: Path, value: str, shown: str) -> None:
    fill(store)
    with closing(sqlite3.connect(tmp_path / "hub.db")) as connection, connection:
        connection.execute(f"UPDATE things SET amount = {value} WHERE id = 1")  # noqa: S608 - fixed text
    assert read_all(store, Form.JSON, 1000)[-1]["amount"] == shown
