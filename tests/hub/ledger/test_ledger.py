"""A ledger holds everything that there is at one moment, and is proven by itself."""

import csv
import io
import json
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from kegnet_client.hub.api import records as api_records
from kegnet_client.hub.home import Home
from kegnet_client.hub.ingest.batch import Batch
from kegnet_client.hub.ingest.forms import Claim
from kegnet_client.hub.ledger import export
from kegnet_client.hub.ledger.verify import Check
from kegnet_client.hub.store.records import Store

from ..conftest import NOW_MS
from .conftest import RSA, TS, Record, Send, faults, written


def test_a_ledger_holds_everything_and_every_record_in_it_is_proven(home: Home, filled: Store) -> None:
    content = written(home, filled)
    check = Check(home.ca())
    assert list(check.run(io.BytesIO(content).readline)) == []
    assert check.counts == {
        "ledger": 1, "device": 3, "key": 3, "entry": 1, "pours": 12, "temperatures": 12, "heartbeats": 15, "request": 9
    }  # fmt: skip
    assert check.made_ms == NOW_MS
    assert check.inferred == 0
    read = [json.loads(line) for line in content.splitlines()]
    assert [one["pulses"] for one in read if one["line"] == "pours" and one["protocol"] == "v2"] == [100] * 3
    assert next(one for one in read if one["line"] == "entry")["said_by"] == "ann"
    assert b"PRIVATE" not in content
    assert home.token().encode() not in content


def test_a_ledger_is_proven_without_the_hubs_libraries_and_directory(ledger: bytes, home: Home, tmp_path: Path) -> None:
    program = """
import sys
for name in ("sqlalchemy", "fastapi", "starlette", "pydantic", "uvicorn"):
    sys.modules[name] = None
from kegnet_client.cli import main
sys.exit(main(["hub", "verify-export", "-", "--ca", "ca.crt"]))
"""
    place = tmp_path / "elsewhere"
    place.mkdir()
    (place / "ca.crt").write_bytes(home.ca())
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, input=ledger, capture_output=True, check=False, cwd=place, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Every record verifies: 8 pours, 8 temperatures, 10 heartbeats." in done.stdout
    assert [path.name for path in place.iterdir()] == ["ca.crt"]


def test_a_record_that_an_earlier_version_of_the_protocol_brought_is_not_missing(
    home: Home, store: Store, send: Send, claim: Callable[..., Claim], submission: Callable[..., Batch], record: Record
) -> None:
    send(store, 0)
    sensor = "28-0316a2795c5b"
    at_ms = TS + 500_000
    again = [
        record("reading", RSA, sensor=sensor, millidegrees=2000, taken_ms=at_ms),
        record("heartbeat", RSA, at_ms=at_ms),
    ]
    (first,) = store.ingest([claim("ping", id=RSA, temp=2000, ts=at_ms)], NOW_MS)
    (second,) = store.ingest([submission(RSA, again)], NOW_MS)
    assert not isinstance(first, Exception)
    assert not isinstance(second, Exception)
    assert second.is_new == (False, True)
    assert faults(written(home, store)) == []


def test_records_whose_key_was_only_inferred_are_counted(home: Home, store: Store, send: Send) -> None:
    send(store, 0)
    store.write(lambda connection: connection.execute(text("UPDATE device_keys SET inferred = 1")))
    check = Check()
    assert list(check.run(io.BytesIO(written(home, store)).readline)) == []
    assert check.inferred == 13


def test_what_is_stored_meanwhile_is_not_in_it_and_waits_for_nothing(home: Home, filled: Store, send: Send) -> None:
    number = iter(range(3, 100))

    class Stream(io.BytesIO):
        def write(self, data: Any) -> int:
            if b'"line":"request"' in data:
                send(filled, next(number))
            return super().write(data)

    stream = Stream()
    counts = export.write_ledger(home, filled, stream, NOW_MS)
    assert counts["request"] == 9
    assert faults(stream.getvalue()) == []
    assert filled.count() == 39 + 9 * 13


def test_only_the_ca_that_is_named_proves_a_ledger(ledger: bytes, make_home: Callable[[], Home], home: Home) -> None:
    assert faults(ledger, home.ca()) == []
    assert "another hub" in faults(ledger, make_home().ca())[0].text


@pytest.mark.parametrize("records", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_hub_with_ten_times_the_records_takes_no_more_memory(
    home: Home, store: Store, send: Send, records: int
) -> None:
    def peak(count: int) -> int:
        with closing(sqlite3.connect(str(store.url.database))) as connection, connection:
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT max(id) + 1 FROM pours UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
                "INSERT INTO pours SELECT i, device, i, pin, pulses, elapsed_ms, started_ms, received_ms, protocol, "
                "signed, signature, key, request FROM pours, n WHERE id = 1",
                (count,),
            )
        with (store_file := Path(str(store.url.database)).with_name("ledger")).open("wb") as stream:
            tracemalloc.start()
            export.write_ledger(home, store, stream, NOW_MS)
        with store_file.open("rb") as stream:
            assert sum(1 for _ in Check().run(stream.readline)) >= count - 10
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    send(store, 0)
    assert peak(10 * records) < peak(records) + 300_000


def test_the_tables_hold_every_row_once_and_no_formula(
    filled: Store, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3, 60):
        send(filled, number)
    streams: dict[str, io.BytesIO] = {}
    monkeypatch.setattr(api_records, "MAX_LIMIT", 50)
    counts = export.write_csv(filled, lambda name: streams.setdefault(name, io.BytesIO()))
    tables = {name: list(csv.DictReader(io.StringIO(stream.getvalue().decode()))) for name, stream in streams.items()}
    assert {name: len(rows) for name, rows in tables.items()} == counts
    assert counts == {"pours.csv": 60 * 4, "temperatures.csv": 60 * 4, "devices.csv": 3}
    assert len({row["id"] for row in tables["pours.csv"]}) == 240
    assert all(row["name"].startswith("'=tap") for row in tables["devices.csv"])
