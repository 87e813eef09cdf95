"""A database that an earlier version made is brought up to date, and what it holds stays."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.hub.ingest.batch import Batch
from kegnet_client.hub.ingest.forms import Claim
from kegnet_client.hub.ingest.rows import Receipt
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.pages import Query
from kegnet_client.hub.store.records import Store
from kegnet_client.keys import key_fingerprint, normal_pem

DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
TS = 1_700_000_000_000

FIRST_VERSION = """
CREATE TABLE keys (fingerprint VARCHAR(64) NOT NULL PRIMARY KEY, pem TEXT NOT NULL);
CREATE TABLE devices (
    id INTEGER NOT NULL PRIMARY KEY, uuid VARCHAR(36) NOT NULL UNIQUE, name VARCHAR(100) NOT NULL,
    "key" VARCHAR(64) NOT NULL REFERENCES keys, next_key VARCHAR(64) REFERENCES keys, added_ms BIGINT NOT NULL,
    revoked_ms BIGINT, last_seen_ms BIGINT, address VARCHAR(45)
);
CREATE INDEX devices_by_time ON devices (added_ms, id);
CREATE TABLE pours (
    id INTEGER NOT NULL PRIMARY KEY, device VARCHAR(36) NOT NULL REFERENCES devices (uuid),
    record_id VARCHAR(32) NOT NULL, pin INTEGER NOT NULL, pulses INTEGER NOT NULL, elapsed_ms INTEGER NOT NULL,
    started_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL, protocol VARCHAR(8) NOT NULL, signed BLOB NOT NULL,
    signature BLOB NOT NULL, "key" VARCHAR(64) NOT NULL REFERENCES keys
);
CREATE UNIQUE INDEX pours_once ON pours (device, record_id);
CREATE INDEX pours_by_device ON pours (device, started_ms, id);
CREATE INDEX pours_by_time ON pours (started_ms, id);
CREATE TABLE temperatures (
    id INTEGER NOT NULL PRIMARY KEY, device VARCHAR(36) NOT NULL REFERENCES devices (uuid),
    record_id VARCHAR(32) NOT NULL, sensor VARCHAR(15), millidegrees INTEGER NOT NULL, taken_ms BIGINT NOT NULL,
    received_ms BIGINT NOT NULL, protocol VARCHAR(8) NOT NULL, signed BLOB NOT NULL, signature BLOB NOT NULL,
    "key" VARCHAR(64) NOT NULL REFERENCES keys
);
CREATE TABLE heartbeats (
    id INTEGER NOT NULL PRIMARY KEY, device VARCHAR(36) NOT NULL REFERENCES devices (uuid),
    record_id VARCHAR(32) NOT NULL, address VARCHAR(45), at_ms BIGINT NOT NULL, received_ms BIGINT NOT NULL,
    protocol VARCHAR(8) NOT NULL, signed BLOB NOT NULL, signature BLOB NOT NULL,
    "key" VARCHAR(64) NOT NULL REFERENCES keys
);
"""


@pytest.fixture
def old_database(tmp_path: Path, device_key: rsa.RSAPrivateKey, claim: Callable[..., Claim]) -> Path:
    """One as the first version left it, with a device and a pour."""
    path = tmp_path / "old.db"
    pem = normal_pem(device_key.public_key())
    pour = claim("pour", id=DEVICE, pin=0, pulses=586, et=8123, ts=TS)
    key = key_fingerprint(pem)
    signed = (pour.proof.text, pour.proof.signature, key)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(FIRST_VERSION)
        connection.execute("INSERT INTO keys VALUES (?, ?)", (key, pem))
        connection.execute("INSERT INTO devices VALUES (1, ?, 'tap', ?, NULL, 1, NULL, NULL, NULL)", (DEVICE, key))
        connection.execute(
            "INSERT INTO pours VALUES (1, ?, ?, 0, 586, 8123, ?, 1, 'v2', ?, ?, ?)",
            (DEVICE, pour.record_id, TS, *signed),
        )
    return path


def objects(path: Path) -> set[str]:
    """The tables, their columns and the indexes."""
    with closing(sqlite3.connect(path)) as connection:
        tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = {f"{table}.{row[1]}" for table in tables for row in connection.execute(f"PRAGMA table_info({table})")}
        indexes = {
            str(row[0])
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        }
    return tables | columns | indexes


def test_an_old_database_gets_what_a_new_one_has(old_database: Path, tmp_path: Path) -> None:
    for path in (old_database, tmp_path / "new.db"):
        for _ in range(2):
            with closing(Store(path)) as store:
                store.prepare()
    assert objects(old_database) == objects(tmp_path / "new.db")


def test_an_old_database_takes_rest_v3_and_knows_what_it_had(
    old_database: Path,
    claim: Callable[..., Claim],
    submission: Callable[..., Batch],
    record: Callable[..., dict[str, object]],
) -> None:
    records = [
        record("pour", DEVICE, pin=0, pulses=586, elapsed_ms=8123, started_ms=TS),
        record("pour", DEVICE, pin=1, pulses=586, elapsed_ms=8123, started_ms=TS),
    ]
    with closing(Store(old_database)) as store:
        store.prepare()
        (receipt,) = store.ingest([submission(DEVICE, records)], TS)
        assert isinstance(receipt, Receipt)
        assert receipt.is_new == (False, True)
        assert [row.request for row in store.page(schema.pours, "started_ms", Query(10)).rows] == [1, None]
        assert [one.fault for one in store.verify_stored()] == [None, None]
