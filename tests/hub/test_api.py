"""What the hub shows to whoever has its token."""

import csv
import io
import sqlite3
from collections.abc import Callable

import httpx
import pytest

from kegnet_client.hub.home import Home
from kegnet_client.hub.ingest.forms import Claim
from kegnet_client.hub.store.records import Store

TS = 1_700_000_000_000

MakeClaim = Callable[..., Claim]


@pytest.fixture
def tap(hub_store: Store, claim: MakeClaim, device: str) -> str:
    """A device with 25 pours on two pins, three temperatures and an address."""
    records = [claim("pour", id=device, pin=n % 2, pulses=100 + n, et=1000, ts=TS + n // 2) for n in range(25)]
    records += [claim("ping", id=device, temp=1000 * n, ts=TS + n) for n in range(3)]
    records.append(claim("ip", id=device, ip="10.0.0.9", ts=TS))
    hub_store.ingest(records, TS + 100)
    return device


def test_pours_come_newest_first(reader: httpx.Client, tap: str) -> None:
    answer = reader.get("/api/pours", params={"device": tap.upper(), "limit": 2})
    assert answer.headers["cache-control"] == "private, no-cache"
    first, second = answer.json()["items"]
    assert (first["pulses"], second["pulses"]) == (124, 123)
    assert first | {"record_id": "", "id": 0} == {
        "id": 0,
        "device": tap,
        "pin": 0,
        "pulses": 124,
        "elapsed_ms": 1000,
        "started_ms": TS + 12,
        "received_ms": TS + 100,
        "record_id": "",
        "volume_nl": None,
        "drips": None,
        "tap": None,
        "keg": None,
        "adjustment": None,
        "reason": None,
    }


@pytest.mark.parametrize("limit", [1, 4, 25, 1000])
def test_following_next_shows_every_row_once(reader: httpx.Client, tap: str, limit: int) -> None:
    params: dict[str, str | int] = {"device": tap, "limit": limit}
    seen = []
    while True:
        page = reader.get("/api/pours", params=params).json()
        seen += [item["pulses"] for item in page["items"]]
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert seen == list(range(124, 99, -1))


def test_following_the_link_shows_every_row_once_as_csv(reader: httpx.Client, tap: str) -> None:
    url, pulses = f"/api/pours?device={tap}&pin=1&limit=5", []
    while url:
        answer = reader.get(url, headers={"Accept": "text/csv, */*;q=0.1"})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["vary"] == "Accept"
        pulses += [int(row["pulses"]) for row in csv.DictReader(io.StringIO(answer.text))]
        url = answer.links.get("next", {}).get("url", "")
    assert pulses == list(range(123, 100, -2))


def test_time_and_pin_narrow_it(reader: httpx.Client, tap: str) -> None:
    params: dict[str, str | int] = {"device": tap, "pin": 1, "since_ms": TS + 2, "until_ms": TS + 4}
    items = reader.get("/api/pours", params=params).json()["items"]
    assert [item["pulses"] for item in items] == [107, 105]


def test_temperatures_are_thousandths_of_a_degree(reader: httpx.Client, tap: str) -> None:
    items = reader.get("/api/temperatures", params={"device": tap}).json()["items"]
    assert [(item["millidegrees"], item["taken_ms"], item["sensor"]) for item in items] == [
        (2000, TS + 2, None),
        (1000, TS + 1, None),
        (0, TS, None),
    ]
    none = reader.get("/api/temperatures", params={"device": tap, "sensor": "28-0316a2795c5b"})
    assert none.json() == {"items": [], "next": None}


def test_devices_show_when_they_were_seen_and_no_proof(reader: httpx.Client, tap: str) -> None:
    (item,) = reader.get("/api/devices", params={"device": tap}).json()["items"]
    assert (item["last_seen_ms"], item["address"], item["revoked_ms"]) == (TS + 100, "10.0.0.9", None)
    assert len(item["key"]) == 64


def test_an_empty_table_is_a_csv_of_its_head(reader: httpx.Client, device: str) -> None:
    answer = reader.get("/api/temperatures", params={"device": device}, headers={"Accept": "text/csv"})
    assert answer.text == "device,sensor,millidegrees,taken_ms,received_ms,record_id\r\n"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
        ("text/html", "application/json"),
        ("application/json, text/csv", "application/json"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/csv; q=0.5, */*", "application/json"),
        ("text/csv;q=0", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV;header=present", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv, */*", "text/csv"),
        ("application/json;q=0.8, text/csv;q=0.9", "text/csv"),
        ("application/json; q=0, */*; q=0.1", "text/csv"),
    ],
)
def test_what_is_preferred_is_what_comes(reader: httpx.Client, accept: str, kind: str) -> None:
    answer = reader.get("/api/devices?limit=1", headers={"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == kind


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=5",
        "after=9.9999999999999999999",
        "since_ms=-1",
        "until_ms=99999999999999999999",
        "pin=256",
        "device=tap",
        "device=%00",
        "sensor=28-0316a2795c5b",
        "until=5",
    ],
)
def test_a_bad_query_is_422_that_names_the_field(reader: httpx.Client, query: str) -> None:
    answer = reader.get(f"/api/pours?{query}")
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [query.partition("=")[0]]


def test_reading_goes_on_while_another_process_writes(reader: httpx.Client, tap: str, hub_home: Home) -> None:
    other = sqlite3.connect(hub_home.directory / "hub.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert len(reader.get("/api/pours", params={"device": tap}).json()["items"]) == 25
    finally:
        other.close()
