"""Temperatures in so many parts of a time: each reading counts once, where it belongs, on either database."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event

from kegnet_client.core.records import Reading
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest.forms import NamelessReading, Proven, SignedString
from kegnet_client.hub.store import pages, readings, schema
from kegnet_client.hub.store.pages import Form, Query
from kegnet_client.hub.store.readings import HOUR_MS, Span
from kegnet_client.hub.store.records import Store

ONE = "11111111-2222-4333-8444-555555555555"
TWO = "22222222-2222-4333-8444-555555555555"
SENSOR = "28-0000057fa1b2"
TS = 1_700_000_000_000
DAY_MS = 24 * HOUR_MS

Asked = tuple[str, str | None, int, int]
"""A device, a sensor, a time and millidegrees."""


class Sent:
    """Readings of a device, taken for signed."""

    def __init__(self, device: str, key: str, records: Sequence[Reading | NamelessReading]) -> None:
        self.device = device
        self.max_records = 1
        self._key = key
        self._records = records

    def prove(self, _keys_pem: object, _now_ms: int) -> Proven:
        records = tuple((f"{number:032}", one) for number, one in enumerate(self._records))
        return Proven(self.device, Version.V3, records, self._key, SignedString(b"", b""))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def cellar(request: pytest.FixtureRequest, device_key: rsa.RSAPrivateKey) -> Store:
    """Two devices, on either database."""
    store: Store = request.getfixturevalue("store" if request.param == "sqlite" else "postgresql_store")
    for device in (ONE, TWO):
        store.add_device(device, device_key.public_key(), "cellar", TS)
    return store


def fill(store: Store, taken: Sequence[Asked]) -> None:
    """Let ``taken`` be all the readings that there are."""
    for table in (schema.temperatures, schema.readings_by_hour, schema.events):
        store.write(lambda connection, table=table: connection.execute(delete(table)))  # type: ignore[misc]  # mypy takes no default of a lambda
    for device in (ONE, TWO):
        known = store.device(device)
        assert known is not None
        of_it = [
            NamelessReading(value, at_ms) if sensor is None else Reading(sensor, value, at_ms)
            for one, sensor, at_ms, value in taken
            if one == device
        ]
        (outcome,) = store.ingest([Sent(device, known.key_fingerprint, of_it)], TS)
        assert not isinstance(outcome, Exception), outcome


def read(store: Store, span: Span, points: int, form: Form = Form.JSON) -> list[dict[str, Any]]:
    """The parts, as the page tells them."""
    names = ["device", "sensor", "at_ms", "readings", "min_millidegrees", "max_millidegrees", "mean_millidegrees"]
    page = store.read(
        lambda connection: pages.read_page(
            connection,
            lambda connection: readings.select_buckets(connection, span, points),
            names,
            "at_ms",
            Query(readings.MAX_BUCKETS),
            form,
        )
    )
    assert page.next is None
    if form is Form.JSON:
        items: list[dict[str, Any]] = json.loads(page.content)["items"]
        return items
    return list(csv.DictReader(io.StringIO(page.content.decode())))


_taken = st.lists(
    st.tuples(
        st.sampled_from([ONE, TWO]),
        st.sampled_from([None, SENSOR, "28-0316a2795c5b"]),
        st.integers(TS, TS + 20 * DAY_MS) | st.integers(TS, TS + HOUR_MS),
        st.integers(-55_000, 125_000),
    ),
    max_size=60,
)


@pytest.mark.parametrize("most_readings", [0, 20, 1000])
def test_each_reading_counts_once_in_the_part_where_it_belongs(
    cellar: Store, monkeypatch: pytest.MonkeyPatch, most_readings: int
) -> None:
    monkeypatch.setattr(readings, "MAX_READINGS", most_readings)

    @settings(
        max_examples=max(2, settings().max_examples // 12), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(
        _taken,
        st.integers(1, 30),
        st.none() | st.integers(TS - 5, TS + 2 * DAY_MS),
        st.none() | st.integers(TS + 2 * DAY_MS, TS + 21 * DAY_MS),
        st.sampled_from([None, ONE]),
        st.sampled_from([None, SENSOR]),
    )
    def check(
        taken: list[Asked],
        points: int,
        since_ms: int | None,
        until_ms: int | None,
        device: str | None,
        sensor: str | None,
    ) -> None:
        fill(cellar, taken)
        found = read(cellar, Span(since_ms, until_ms, device, sensor), points)
        first_ms = 0 if since_ms is None else since_ms // HOUR_MS * HOUR_MS
        last_ms = TS * 2 if until_ms is None else -(-until_ms // HOUR_MS) * HOUR_MS
        of_it = [one for one in taken if device in (None, one[0]) and sensor in (None, one[1])]
        inside = [one for one in of_it if (since_ms or 0) <= one[2] < (until_ms or TS * 2)]
        around = [one for one in of_it if first_ms <= one[2] < last_ms]
        assert len(inside) <= sum(one["readings"] for one in found) <= len(around)
        places: dict[tuple[str, str | None], list[int]] = defaultdict(list)
        for one in found:
            places[one["device"], one["sensor"]].append(one["at_ms"])
        assert all(len(of_one) <= points for of_one in places.values())
        starts = sorted({one["at_ms"] for one in found})
        assert [one["at_ms"] for one in found] == sorted((one["at_ms"] for one in found), reverse=True)
        width = min((b - a for a, b in pairwise(starts)), default=21 * DAY_MS)
        for one in found:
            values = [
                value
                for its_device, its_sensor, at_ms, value in around
                if (its_device, its_sensor) == (one["device"], one["sensor"])
                and one["at_ms"] <= at_ms < one["at_ms"] + width
            ]
            assert one["min_millidegrees"] <= one["mean_millidegrees"] <= one["max_millidegrees"]
            assert set(values) <= set(range(one["min_millidegrees"], one["max_millidegrees"] + 1))

    check()


def test_a_day_is_summed_from_readings_and_more_from_hours_in_both_forms(
    cellar: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "MAX_READINGS", 100)
    taken = [(ONE, SENSOR, TS + number * 600_000, 1000 * (number % 7) - 3000) for number in range(8000)]
    fill(cellar, taken)
    day = [one for one in taken if one[2] < TS + DAY_MS]
    found = read(cellar, Span(TS, TS + DAY_MS), 24)
    assert len(found) == 24
    assert [one["at_ms"] for one in found] == [TS + hour * HOUR_MS for hour in range(23, -1, -1)]
    assert sum(one["readings"] for one in found) == len(day)
    (only,) = read(cellar, Span(), 1)
    assert only["readings"] == 8000
    assert only["mean_millidegrees"] == round(mean(value for *_, value in taken))
    assert (only["min_millidegrees"], only["max_millidegrees"]) == (-3000, 3000)
    assert (only["device"], only["sensor"]) == (ONE, SENSOR)
    hours = read(cellar, Span(), 1000)
    assert 600 <= len(hours) <= 1000
    as_cells = [{name: str(value) for name, value in one.items()} for one in hours]
    assert read(cellar, Span(), 1000, Form.CSV) == as_cells


@pytest.mark.parametrize(("span", "table"), [(Span(TS, TS + DAY_MS), "temperatures"), (Span(), "readings_by_hour")])
def test_many_readings_are_read_from_the_sums_of_hours_alone(
    cellar: Store, monkeypatch: pytest.MonkeyPatch, span: Span, table: str
) -> None:
    monkeypatch.setattr(readings, "MAX_READINGS", 100)
    fill(cellar, [(ONE, SENSOR, TS + number * DAY_MS, 4000) for number in range(300)])
    asked: list[str] = []
    event.listen(cellar._engine, "before_cursor_execute", lambda _c, _cursor, text, *_: asked.append(text))
    assert read(cellar, span, 100)
    assert f"FROM {table}" in asked[-1]
    assert ("FROM temperatures" in asked[-1]) == (table == "temperatures")


def test_many_sensors_get_longer_parts_rather_than_a_larger_answer(cellar: Store) -> None:
    taken = [(ONE, f"28-{number:012x}", TS + hour * HOUR_MS, 4000) for number in range(10) for hour in range(100)]
    fill(cellar, taken)
    found = cellar.read(
        lambda connection: connection.execute(readings.select_buckets(connection, Span(), 100, 200)).all()
    )
    assert 100 <= len(found) <= 200
    assert sum(one.readings for one in found) == 1000


def test_parts_are_asked_for_by_points_and_are_no_pages(
    reader: httpx.Client, device: str, form: Any, post: Any
) -> None:
    for number in range(10):
        assert post("v2/ping", form("ping", id=device, temp=4000 + number, ts=TS + number * 1000)).status_code == 200
    params: dict[str, Any] = {"device": device.upper(), "points": 5, "since_ms": TS, "until_ms": TS + 10_000}
    answer = reader.get("/api/temperatures", params=params).json()
    assert answer["next"] is None
    assert [one["at_ms"] for one in answer["items"]] == [TS + number * 2000 for number in range(4, -1, -1)]
    assert answer["items"][-1] == {
        "device": device,
        "sensor": None,
        "at_ms": TS,
        "readings": 2,
        "min_millidegrees": 4000,
        "max_millidegrees": 4001,
        "mean_millidegrees": 4001,
    }
    table = reader.get("/api/temperatures", params=params, headers={"Accept": "text/csv"}).text.splitlines()
    assert table[0] == "device,sensor,at_ms,readings,min_millidegrees,max_millidegrees,mean_millidegrees"
    assert len(table) == 6
    assert reader.get("/api/temperatures", params={"points": 5, "since_ms": 5, "until_ms": 6}).json()["items"] == []
    for wrong in ({"limit": 5}, {"after": "1.1"}, {"points": 0}, {"points": 1001}):
        refused = reader.get("/api/temperatures", params=params | wrong)
        assert refused.status_code == 422
        assert "points" in refused.json()["detail"]
