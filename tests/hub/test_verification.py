"""What was changed in the store later is found out, whatever it was."""

import itertools
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Row, Select

from kegnet_client.hub.ingest.batch import Batch
from kegnet_client.hub.ingest.forms import Claim
from kegnet_client.hub.store.records import Store
from kegnet_client.keys import normal_pem

ONE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
TWO = "11111111-2222-4333-8444-555555555555"
TS = 1_700_000_000_000

Send = Callable[[str, int], None]


@pytest.fixture
def send(
    store: Store,
    device_key: rsa.RSAPrivateKey,
    submission: Callable[..., Batch],
    record: Callable[..., dict[str, object]],
) -> Send:
    """``send(device, n)``: a batch with the n-th pour, reading and heartbeat of the device."""
    for device in (ONE, TWO):
        store.add_device(device, device_key.public_key(), "tap", TS)

    def ingest(device: str, number: int) -> None:
        records = [
            record("pour", device, pin=0, pulses=100 + number, elapsed_ms=1, started_ms=TS),
            record("reading", device, sensor="28-0316a2795c5b", millidegrees=3875, taken_ms=TS + number),
            record("heartbeat", device, at_ms=TS + number),
        ]
        expiring = f';created=1;expires={TS // 1000};keyid="{device}";tag="kegnet-v3"'
        store.ingest([submission(device, records, pack=True, parameters=expiring)], TS)

    return ingest


def faults(store: Store, device: str | None = None) -> dict[tuple[str, int | None], str]:
    return {(one.table, one.id): one.fault for one in store.verify_stored(device) if one.fault is not None}


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_many_requests_are_verified_each_with_its_rows_as_of_when_they_came(store: Store, send: Send) -> None:
    for number in range(20):
        send((ONE, TWO)[number % 2], number)
    assert store.count() == 60
    assert len(list(store.verify_stored())) == 60
    assert faults(store) == {}
    assert {one.device for one in store.verify_stored(ONE.upper())} == {ONE}
    assert len(list(store.verify_stored(ONE))) == 30


@pytest.mark.parametrize(
    ("statement", "row", "fault"),
    [
        ("UPDATE pours SET pulses = 7 WHERE id = 2", ("pours", 2), "columns pulses"),
        ("UPDATE pours SET started_ms = 7 WHERE id = 2", ("pours", 2), "columns started_ms"),
        ("UPDATE pours SET protocol = 'v2' WHERE id = 2", ("pours", 2), "columns protocol"),
        ("UPDATE pours SET key = 'x' WHERE id = 2", ("pours", 2), "columns key"),
        ("UPDATE pours SET request = 3 WHERE id = 2", ("pours", 2), "does not hold it"),
        ("UPDATE pours SET request = 99 WHERE id = 2", ("pours", 2), "not stored"),
        ("UPDATE pours SET request = 0 WHERE id = 2", ("pours", 2), "not stored"),
        ("UPDATE pours SET request = NULL WHERE id = 2", ("pours", 2), "fields"),
        ("UPDATE temperatures SET sensor = NULL WHERE id = 2", ("temperatures", 2), "columns sensor"),
        ("UPDATE temperatures SET millidegrees = 0 WHERE id = 2", ("temperatures", 2), "columns millidegrees"),
        ("UPDATE heartbeats SET at_ms = 0 WHERE id = 2", ("heartbeats", 2), "columns at_ms"),
        ("UPDATE heartbeats SET address = '10.0.0.1' WHERE id = 2", ("heartbeats", 2), "columns address"),
    ],
)
def test_a_changed_row_is_found_and_its_neighbours_are_not_blamed(
    store: Store, send: Send, tmp_path: Path, statement: str, row: tuple[str, int], fault: str
) -> None:
    for number in range(4):
        send(ONE, number)
    change(tmp_path / "hub.db", statement)
    found = faults(store)
    assert list(found) == [row]
    assert fault in found[row]


@pytest.mark.parametrize(
    ("change_to", "fault"),
    [("record_id = 'x'", "does not hold it"), (f"device = '{TWO}'", "columns device")],
)
def test_a_row_that_became_another_is_found_and_missed(
    store: Store, send: Send, tmp_path: Path, change_to: str, fault: str
) -> None:
    for number in range(4):
        send(ONE, number)
    change(tmp_path / "hub.db", f"UPDATE pours SET {change_to} WHERE id = 2")  # noqa: S608 - fixed text
    found = faults(store)
    assert list(found) == [("pours", 2), ("pours", None)]
    assert fault in found["pours", 2]
    assert "missing" in found["pours", None]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE requests SET content = x'00' WHERE id = 2",
        "UPDATE requests SET content_digest = (SELECT content_digest FROM requests WHERE id = 1) WHERE id = 2",
        "UPDATE requests SET signature = (SELECT signature FROM requests WHERE id = 1) WHERE id = 2",
        "UPDATE requests SET signature_input = 'kegnet=()' WHERE id = 2",
        "UPDATE requests SET path = '/' WHERE id = 2",
        "UPDATE requests SET content_type = 'text/plain' WHERE id = 2",
        "UPDATE requests SET content_encoding = NULL WHERE id = 2",
        "UPDATE requests SET device = '11111111-2222-4333-8444-555555555555' WHERE id = 2",
        "UPDATE requests SET key = 'x' WHERE id = 2",
        "UPDATE requests SET content = 'text' WHERE id = 2",
        "UPDATE requests SET received_ms = received_ms + 1001 WHERE id = 2",
        "DELETE FROM requests WHERE id = 2",
    ],
)
def test_a_changed_request_proves_none_of_its_rows(store: Store, send: Send, tmp_path: Path, statement: str) -> None:
    for number in range(4):
        send(ONE, number)
    change(tmp_path / "hub.db", statement)
    assert set(faults(store)) == {("pours", 2), ("temperatures", 2), ("heartbeats", 2)}


def test_a_key_that_was_exchanged_proves_nothing(
    store: Store, send: Send, tmp_path: Path, other_key: rsa.RSAPrivateKey
) -> None:
    send(ONE, 0)
    with closing(sqlite3.connect(tmp_path / "hub.db")) as connection, connection:
        connection.execute("UPDATE keys SET pem = ?", (normal_pem(other_key.public_key()),))
    assert len(faults(store)) == 3


def test_a_key_that_is_damaged_proves_nothing(store: Store, send: Send, tmp_path: Path) -> None:
    send(ONE, 0)
    change(tmp_path / "hub.db", "UPDATE keys SET pem = 'x'")
    assert len(faults(store)) == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pours SET key = 'x' WHERE id = 2",
        "UPDATE pours SET signed = 'text' WHERE id = 2",
        "UPDATE pours SET id = -2, pulses = 7 WHERE id = 2",
        "UPDATE pours SET protocol = 'v3' WHERE id = 2",
    ],
)
def test_no_row_with_a_proof_of_its_own_is_left_out(
    store: Store, device_key: rsa.RSAPrivateKey, claim: Callable[..., Claim], tmp_path: Path, statement: str
) -> None:
    store.add_device(ONE, device_key.public_key(), "tap", TS)
    store.ingest([claim("pour", id=ONE, pin=pin, pulses=586, et=8123, ts=TS) for pin in range(3)], TS)
    change(tmp_path / "hub.db", statement)
    assert len(list(store.verify_stored())) == store.count()
    assert [abs(row or 0) for _, row in faults(store)] == [2]


def test_what_arrives_meanwhile_is_not_blamed(store: Store, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = store.rows
    numbers = itertools.count(1)

    def rows_and_then_some(statement: Select[Any]) -> Sequence[Row[Any]]:
        found = rows(statement)
        if not found:  # whoever asks takes it for the end
            send(ONE, next(numbers))
        return found

    send(ONE, 0)
    monkeypatch.setattr(store, "rows", rows_and_then_some)
    assert faults(store) == {}
