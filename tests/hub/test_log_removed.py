"""Somebody tidies up beside a hub that runs: the log of a SQLite database, which holds what was stored last."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Connection

from kegnet_client.hub.ingest.forms import Claim
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
START = 1_700_000_000_000


def pours_after_a_kill(database: Path, to: Path) -> int:
    """How many there are when a process that dies now leaves its files as they are."""
    to.mkdir()
    for path in database.parent.glob(f"{database.name}*"):
        shutil.copy(path, to)
    with closing(sqlite3.connect(to / database.name)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM pours").fetchone()
        return int(count)


def test_nothing_is_acknowledged_that_is_in_a_removed_log_alone(
    store: Store, claim: Callable[..., Claim], device_key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    database = tmp_path / "hub.db"
    store.add_device(DEVICE, device_key.public_key(), "one", START)

    def take(number: int) -> None:
        store.ingest([claim("pour", id=DEVICE, pin=0, pulses=100 + number, et=1000, ts=START + number)], START)

    take(1)
    for name in ("hub.db-wal", "hub.db-shm"):
        (tmp_path / name).unlink()
    with pytest.raises(StoreError, match=r"hub\.db-wal was removed"):
        take(2)
    take(2)
    take(3)

    assert pours_after_a_kill(database, tmp_path / "killed") == 3


def test_who_reads_while_the_log_is_removed_leaves_no_connection_to_it(
    store: Store, device_key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    def add(name: str) -> None:
        store.add_device(name, device_key.public_key(), name, START)

    def remove_log(connection: Connection) -> Any:
        for name in ("hub.db-wal", "hub.db-shm"):
            (tmp_path / name).unlink()
        with pytest.raises(StoreError, match=r"hub\.db-wal was removed"):
            add("two")
        return connection.connection.driver_connection

    store.read(lambda _connection: add("one"))  # from here on there are two connections
    connection = store.read(remove_log)
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        connection.execute("SELECT 1")
