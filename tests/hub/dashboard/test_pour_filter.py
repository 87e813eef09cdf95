"""The file of pours has each of them once, below one head, and tells when it is cut."""

import asyncio
import csv
import io
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Select, insert

pytest.importorskip("nicegui", reason="takes the extra dashboard")

from kegnet_client.hub.dashboard.pour_filter import read_csv
from kegnet_client.hub.store import schema, volumes
from kegnet_client.hub.store.pages import Query
from kegnet_client.hub.store.records import Store

from ..test_buckets import ONE, TS

POURS = 7


@pytest.fixture
def bar(store: Store, device_key: rsa.RSAPrivateKey) -> Store:
    """Some pours, the last one with the most pulses."""
    store.add_device(ONE, device_key.public_key(), "bar", TS)
    known = store.device(ONE)
    assert known is not None
    proof = {"device": ONE, "protocol": "v2", "signed": b"", "signature": b"", "key": known.key_fingerprint}
    rows = [
        {**proof, "record_id": f"{number:032}", "pin": 0, "pulses": number, "elapsed_ms": 1}
        | {"started_ms": TS + number, "received_ms": TS}
        for number in range(POURS)
    ]
    store.write(lambda connection: connection.execute(insert(schema.pours), rows))
    return store


def read(store: Store, limit: int, most: int) -> tuple[list[int], bool]:
    """The pulses in a file of so many pages at most, each of so many pours."""

    def ask(limit: int, after: tuple[int, int] | None) -> tuple[Select[Any], Query]:
        return volumes.SELECT_POURS, Query(limit, after)

    content, is_whole = asyncio.run(read_csv(store, ask, limit, most))
    return [int(row["pulses"]) for row in csv.DictReader(io.StringIO(content.decode(), newline=""))], is_whole


@pytest.mark.parametrize("limit", [1, 2, POURS, 100])
def test_it_has_every_pour_once_the_newest_first_whatever_the_pages(bar: Store, limit: int) -> None:
    assert read(bar, limit, 100) == ([*reversed(range(POURS))], True)


def test_one_that_is_cut_tells_it(bar: Store) -> None:
    assert read(bar, 2, 3) == ([6, 5, 4, 3, 2, 1], False)


def test_without_pours_it_is_a_head(store: Store) -> None:
    assert read(store, 2, 3) == ([], True)
