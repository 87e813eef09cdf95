"""A record that comes by two versions of the protocol, because an acknowledgement was lost and the configuration
changed before it was sent again: one row wherever the versions let the hub know it again."""

import itertools
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest import forms
from kegnet_client.hub.ingest.batch import read_batch
from kegnet_client.hub.ingest.rows import Receipt, Submission
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.pages import Query
from kegnet_client.hub.store.records import Store

from .receive_v3.batch import DEVICE, as_received

AT_MS = 1_700_000_000_417
KEG, TAP = "28-0316a2795c5b", "28-0516a27f3cff"
ORDERS = list(itertools.permutations(["v1", "v2", "v3"], 2))

Send = Callable[..., Submission]


@pytest.fixture(
    params=["store", pytest.param("postgresql_store", marks=pytest.mark.process)], ids=["SQLite", "PostgreSQL"]
)
def a_store(request: pytest.FixtureRequest, device_key: rsa.RSAPrivateKey) -> Store:
    """A store where the device is registered."""
    store = request.getfixturevalue(request.param)
    assert isinstance(store, Store)
    store.add_device(DEVICE, device_key.public_key(), "tap", AT_MS)
    return store


@pytest.fixture
def pour(
    form: Callable[..., bytes], batch: Callable[..., tuple[dict[str, str], bytes]], record: Callable[..., object]
) -> Send:
    """``pour("v1", pulses=...)``: that pour as the version has it."""

    def make(version: str, pulses: int = 586, elapsed_ms: int = 8123, started_ms: int = AT_MS) -> Submission:
        if version == "v3":
            fields = {"pin": 0, "pulses": pulses, "elapsed_ms": elapsed_ms, "started_ms": started_ms}
            return read_batch(as_received(*batch(DEVICE, [record("pour", DEVICE, **fields)])))
        unit_ms = Version(version).ms_per_unit
        times = {"et": elapsed_ms // unit_ms, "ts": started_ms // unit_ms}
        return forms.read_claim("pour", Version(version), form("pour", id=DEVICE, pin=0, pulses=pulses, **times))

    return make


@pytest.fixture
def reading(
    form: Callable[..., bytes], batch: Callable[..., tuple[dict[str, str], bytes]], record: Callable[..., object]
) -> Send:
    """``reading("v1", sensor, ...)``: that reading as the version has it."""

    def make(version: str, sensor: str = KEG, millidegrees: int = 3875, taken_ms: int = AT_MS) -> Submission:
        if version == "v3":
            fields = {"sensor": sensor, "millidegrees": millidegrees, "taken_ms": taken_ms}
            return read_batch(as_received(*batch(DEVICE, [record("reading", DEVICE, **fields)])))
        ts = taken_ms // Version(version).ms_per_unit
        return forms.read_claim("ping", Version(version), form("ping", id=DEVICE, temp=millidegrees, ts=ts))

    return make


def rows(store: Store) -> list[str]:
    """By which versions what is stored came; all of it verifies."""
    assert [one.fault for one in store.verify_stored() if one.fault] == []
    tables = ((schema.pours, "started_ms"), (schema.temperatures, "taken_ms"))
    return [row.protocol for table, time in tables for row in store.page(table, time, Query(100)).rows]


def is_new(store: Store, *sent: Submission) -> list[bool]:
    receipts = store.ingest(sent, AT_MS)
    assert all(isinstance(one, Receipt) for one in receipts), receipts
    return [is_new for one in receipts if isinstance(one, Receipt) for is_new in one.is_new]


@pytest.mark.case(56)
@pytest.mark.parametrize(("first", "then"), ORDERS)
@pytest.mark.parametrize("kind", ["pour", "reading"])
@pytest.mark.parametrize("at_ms", [AT_MS, AT_MS // 1000 * 1000], ids=["", "on the full second"])
def test_a_record_that_comes_by_one_version_and_then_by_another_is_one_row(
    a_store: Store, request: pytest.FixtureRequest, kind: str, first: str, then: str, at_ms: int
) -> None:
    send: Send = request.getfixturevalue(kind)
    when = {"started_ms" if kind == "pour" else "taken_ms": at_ms}
    assert is_new(a_store, send(first, **when)) == [True]
    assert is_new(a_store, send(then, **when)) == [False]
    assert is_new(a_store, send(first, **when)) == [False]
    assert rows(a_store) == [first]


@pytest.mark.case(56)
@pytest.mark.parametrize(("first", "then"), ORDERS)
@pytest.mark.parametrize("kind", ["pour", "reading"])
def test_a_record_that_comes_by_two_versions_in_one_commit_is_one_row(
    a_store: Store, request: pytest.FixtureRequest, kind: str, first: str, then: str
) -> None:
    send: Send = request.getfixturevalue(kind)
    assert sorted(is_new(a_store, send(first), send(then))) == [False, True]
    assert len(rows(a_store)) == 1


@pytest.mark.case(56)
@pytest.mark.parametrize(("first", "then"), ORDERS)
def test_what_is_another_record_is_another_row_in_every_version(
    a_store: Store, pour: Send, reading: Send, first: str, then: str
) -> None:
    is_new(a_store, pour(first), reading(first))
    others = [
        *(pour(then, pulses=585), pour(then, elapsed_ms=9123), pour(then, started_ms=AT_MS + 1000)),
        *(pour(then, started_ms=AT_MS - 1000), reading(then, millidegrees=3937)),
        *(reading(then, taken_ms=AT_MS + 1000), reading(then, taken_ms=AT_MS - 1000)),
    ]
    assert is_new(a_store, *others) == [True] * len(others)
    assert len(rows(a_store)) == 2 + len(others)


@pytest.mark.case(56)
def test_the_sensors_of_a_round_are_told_apart_by_their_milliseconds_or_names(a_store: Store, reading: Send) -> None:
    assert is_new(a_store, reading("v2"), reading("v2", TAP, taken_ms=AT_MS + 1)) == [True, True]
    assert is_new(a_store, reading("v3"), reading("v3", TAP, taken_ms=AT_MS + 1)) == [False, False]
    assert is_new(a_store, reading("v3", taken_ms=AT_MS + 9), reading("v3", TAP, taken_ms=AT_MS + 9)) == [True, True]
    assert is_new(a_store, reading("v2", taken_ms=AT_MS + 9)) == [False]


@pytest.mark.case(56)
def test_what_rest_v1_cannot_tell_apart_is_one_row(a_store: Store, pour: Send, reading: Send) -> None:
    assert is_new(a_store, pour("v1"), pour("v1", started_ms=AT_MS + 500)) == [True, False]
    assert is_new(a_store, reading("v1"), reading("v1", TAP, taken_ms=AT_MS + 1)) == [True, False]


def test_a_record_of_a_request_that_another_version_brought_is_not_missing(
    a_store: Store, batch: Callable[..., tuple[dict[str, str], bytes]], record: Callable[..., object], reading: Send
) -> None:
    is_new(a_store, reading("v2"), reading("v1", millidegrees=5000))
    both = [
        record("reading", DEVICE, sensor=KEG, millidegrees=millidegrees, taken_ms=AT_MS)
        for millidegrees in (3875, 5000, 6000)
    ]
    assert is_new(a_store, read_batch(as_received(*batch(DEVICE, both)))) == [False, False, True]
    assert sorted(rows(a_store)) == ["v1", "v2", "v3"]
