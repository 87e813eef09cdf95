"""What is refused from a device is counted, cheaply and for good, and its alarm is raised and cleared."""

import asyncio
import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import func, select

from kegnet_client.hub import refused_counts
from kegnet_client.hub.bus import Bus
from kegnet_client.hub.domain.alarms import What
from kegnet_client.hub.home import Home
from kegnet_client.hub.judge import Judge
from kegnet_client.hub.refused_counts import RefusedCounts
from kegnet_client.hub.store import refusals, schema
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

from ..support.waits import wait_until
from .conftest import NOW_MS, Batch, Form, Record, Serve
from .test_cli import run_hub

KNOWN = "11111111-2222-4333-8444-555555555555"
OTHER = "22222222-2222-4333-8444-555555555555"
HOUR = refusals.HOUR_MS


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def bar(request: pytest.FixtureRequest, device_key: rsa.RSAPrivateKey) -> Store:
    """Two devices, on either database."""
    store: Store = request.getfixturevalue("store" if request.param == "sqlite" else "postgresql_store")
    for device in (KNOWN, OTHER):
        store.add_device(device, device_key.public_key(), "bar", NOW_MS)
    return store


def sums(store: Store, since_ms: int = 0) -> dict[str, int]:
    return dict(store.read(lambda connection: refusals.read_sums(connection, since_ms)))


async def counting(counts: RefusedCounts, work: Callable[[], None]) -> None:
    """Do ``work`` while it counts, and end it, as the hub does."""
    running = asyncio.create_task(counts.run())
    async with asyncio.timeout(10):
        while not counts._known:
            await asyncio.sleep(0.001)
    work()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.case(93)
def test_a_flood_is_one_row_a_minute_and_nothing_of_who_is_not_registered(bar: Store) -> None:
    commits = []
    bar.on_write = lambda: commits.append(1)
    counts = RefusedCounts(bar, lambda: NOW_MS)

    def flood() -> None:
        for _ in range(100_000):
            counts.count(KNOWN.upper())
        for _ in range(1000):
            counts.count(str(uuid.uuid4()), 7)
        counts.count("", 7)
        counts.count(OTHER, 500)
        counts.count(OTHER, 0)

    asyncio.run(counting(counts, flood))
    assert sums(bar) == {KNOWN: 100_000, OTHER: 500}
    assert len(commits) == 1
    assert bar.rows(select(func.count()).select_from(schema.refusals))[0][0] == 2
    again = RefusedCounts(bar, lambda: NOW_MS)
    asyncio.run(counting(again, lambda: again.count(KNOWN)))
    assert sums(bar)[KNOWN] == 100_001
    assert bar.rows(select(func.count()).select_from(schema.refusals))[0][0] == 2


def test_what_could_not_be_written_is_written_the_next_time(bar: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [StoreError("full"), StoreError("full")]
    write = bar.write

    def fail_twice(work: Callable[..., object]) -> object:
        if faults:
            raise faults.pop()
        return write(work)

    monkeypatch.setattr(bar, "write", fail_twice)
    monkeypatch.setattr(refused_counts, "EVERY_S", 0.001)

    async def main() -> None:
        counts = RefusedCounts(bar, lambda: NOW_MS)
        running = asyncio.create_task(counts.run())
        async with asyncio.timeout(10):
            while not counts._known:
                await asyncio.sleep(0.001)
            counts.count(KNOWN, 3)
            while not await asyncio.to_thread(sums, bar):
                await asyncio.sleep(0.001)
        running.cancel()

    asyncio.run(main())
    assert faults == []
    assert sums(bar) == {KNOWN: 3}


def test_a_revoked_device_is_not_counted(bar: Store) -> None:
    bar.revoke_device(OTHER, NOW_MS)
    counts = RefusedCounts(bar, lambda: NOW_MS)
    asyncio.run(counting(counts, lambda: counts.count(OTHER)))
    assert sums(bar) == {}


def test_the_last_days_are_kept(bar: Store) -> None:
    for days in (0, 6, 7, 8):
        at_ms = NOW_MS + days * 24 * HOUR
        bar.write(lambda connection, at_ms=at_ms: refusals.add(connection, {KNOWN: 1}, at_ms))  # type: ignore[misc]  # mypy takes no default of a lambda
    assert sums(bar) == {KNOWN: 3}
    assert sums(bar, NOW_MS + 8 * 24 * HOUR) == {KNOWN: 1}


def test_an_alarm_is_raised_by_more_than_ten_an_hour_and_cleared_an_hour_later(bar: Store) -> None:
    clock = SimpleNamespace(ms=NOW_MS)
    judge = Judge(bar, Bus(bar), lambda: clock.ms)
    bar.write(lambda connection: refusals.add(connection, {KNOWN: 10, OTHER: 1}, NOW_MS))
    assert judge.judge() == []
    clock.ms += refusals.MINUTE_MS
    bar.write(lambda connection: refusals.add(connection, {KNOWN: 1}, clock.ms))
    (raised,) = judge.judge()
    assert (raised.key, raised.what) == (("refused", f"device {KNOWN}"), What.RAISED)
    assert raised.text == "bar: 11 records refused within an hour"
    clock.ms += HOUR - 2 * refusals.MINUTE_MS
    assert judge.judge() == []
    clock.ms += refusals.MINUTE_MS
    (cleared,) = judge.judge()
    assert (cleared.key, cleared.what) == (raised.key, What.CLEARED)


@pytest.fixture
def counted(
    make_home: Callable[[], Home], start: Serve, device_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimpleNamespace]:
    """A hub that writes its counts soon, and somebody who has its token."""
    monkeypatch.setattr(refused_counts, "EVERY_S", 0.01)
    home = make_home()
    with closing(Store(home.database())) as store:
        store.prepare()
        for device in (KNOWN, OTHER):
            store.add_device(device, device_key.public_key(), "bar", NOW_MS)
        headers = {"Authorization": f"Bearer {home.token()}"}
        url = start(home, store)
        trusting = ssl.create_default_context(cafile=home.ca_certificate)
        with httpx.Client(base_url=url, verify=trusting, headers=headers, trust_env=False) as client:
            yield SimpleNamespace(home=home, store=store, client=client)


def test_whatever_is_refused_from_a_device_is_counted_and_shown(
    counted: SimpleNamespace,
    form: Form,
    batch: Batch,
    record: Callable[..., Record],
    other_key: rsa.RSAPrivateKey,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def post(call: str, body: bytes, **headers: str) -> int:
        headers = headers or {"content-type": "application/x-www-form-urlencoded"}
        status: int = counted.client.post(f"/rest/{call}", content=body, headers=headers).status_code
        return status

    def is_counted(number: int) -> bool:
        return sums(counted.store).get(KNOWN) == number

    def begins() -> bool:
        assert post("v2/ping", form("ping", id=OTHER, temp="x", ts=NOW_MS)) == 400
        return bool(sums(counted.store))

    wait_until(begins, "nothing is counted")
    assert post("v2/ping", form("ping", id=KNOWN, temp=1, ts=NOW_MS, key=other_key)) == 401
    wait_until(lambda: is_counted(1), "a wrong signature is not counted")
    assert post("v2/ping", form("ping", id=KNOWN.upper(), temp=1, ts=0)) == 400
    wait_until(lambda: is_counted(2), "a record that is none is not counted")
    good = record("heartbeat", KNOWN, at_ms=NOW_MS)
    bad = [{**good, "id": f"{number:032}"} for number in range(5)]
    headers, content = batch(KNOWN, [*bad, good])
    assert post("v3/records", content, **headers) == 200
    wait_until(lambda: is_counted(7), "records that a batch rejects are not counted")
    assert post("v2/ping", form("ping", id=str(uuid.uuid4()), temp=1, ts=NOW_MS)) == 401
    assert post("v2/ping", b"id=x&id=y") == 400
    told = counted.client.get("/metrics").text
    assert f'kegnet_device_refused_records{{device="{KNOWN}",name="bar"}} 7.0' in told
    assert run_hub("status", "--dir", str(counted.home.directory)) == 0
    assert "7 records refused within a day, 7 of them within the last hour" in capsys.readouterr().out
    assert is_counted(7)
