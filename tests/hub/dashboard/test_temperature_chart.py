"""The chart of temperatures: all that was read, what is wanted, and more of it for who looks closer."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

pytest.importorskip("nicegui", reason="takes the extra dashboard")

from kegnet_client.hub.dashboard import temperature_chart
from kegnet_client.hub.dashboard.temperature_chart import MAX_POINTS, Lines, Window
from kegnet_client.hub.dashboard.words import Words
from kegnet_client.hub.domain.profiles import DAY_MS
from kegnet_client.hub.store import bodies, runs
from kegnet_client.hub.store.records import Store

from ..test_buckets import ONE, SENSOR, TS, TWO, Asked, fill
from ..test_house import say

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
PART_MS = DAY_MS // MAX_POINTS + 1
OTHER = "28-0000057fa1b3"
NOW_MS = (TS + 30 * DAY_MS) // HOUR_MS * HOUR_MS
DEGREES = [{"days": 0, "temperature": 20}, {"days": 10, "temperature": 20}, {"days": 20, "temperature": 4}]


@pytest.fixture
def cellar(store: Store, device_key: rsa.RSAPrivateKey) -> Store:
    for device in (ONE, TWO):
        store.add_device(device, device_key.public_key(), "cellar", TS)
    return store


def read(store: Store, since_ms: int, window: Window | None = None) -> Lines:
    return store.read(lambda connection: temperature_chart.read(connection, since_ms, NOW_MS, window or Window()))


def every_minute(since_ms: int, until_ms: int) -> list[Asked]:
    return [(ONE, SENSOR, at_ms, at_ms % 1000 + 4000) for at_ms in range(since_ms, until_ms, MINUTE_MS)]


def start_profile(store: Store, started_ms: int) -> None:
    number = say(store, "profile", {"name": "Pils", "temperatures": DEGREES})
    body = bodies.Run(profile=number, sensor=SENSOR, started_ms=started_ms)
    store.write(lambda connection: runs.start(connection, body, "anna", started_ms))


def test_a_closer_look_shows_what_the_whole_had_no_room_for(cellar: Store) -> None:
    since_ms = NOW_MS - 2000 * MINUTE_MS
    fill(cellar, every_minute(since_ms, NOW_MS))
    ((_, whole),) = read(cellar, since_ms).read
    ((_, closer),) = read(cellar, since_ms, Window(50, 75)).read

    begin_ms, end_ms = since_ms + 1000 * MINUTE_MS, since_ms + 1500 * MINUTE_MS
    assert len(whole) == MAX_POINTS
    assert sum(begin_ms <= at_ms < end_ms for at_ms, _ in whole) == 250
    assert sum(begin_ms <= at_ms < end_ms for at_ms, _ in closer) == 500
    assert [one for one in closer if one[0] < begin_ms] == [one for one in whole if one[0] < begin_ms]
    assert [one for one in closer if one[0] >= end_ms] == [one for one in whole if one[0] >= end_ms]


def test_what_a_running_profile_wants_is_shown_a_little_ahead(cellar: Store) -> None:
    start_profile(cellar, NOW_MS - 15 * DAY_MS)
    lines = read(cellar, NOW_MS - 5 * DAY_MS)

    assert lines.until_ms == NOW_MS + DAY_MS
    assert lines.wanted == [(SENSOR, [(NOW_MS - 5 * DAY_MS, 20_000), (NOW_MS + DAY_MS, 10_400)])]
    chart = temperature_chart.options("metric", Words("en"), lines, Window())
    assert chart["series"][0]["markLine"]["data"][0]["xAxis"] == NOW_MS
    assert chart["series"][0]["name"] == f"{SENSOR}: Set point"
    assert (chart["yAxis"]["min"], chart["yAxis"]["max"]) == (9, 21)


def test_without_one_the_chart_begins_with_the_first_reading_and_ends_now(cellar: Store) -> None:
    fill(cellar, every_minute(NOW_MS - HOUR_MS, NOW_MS))
    lines = read(cellar, NOW_MS - DAY_MS)
    assert NOW_MS - HOUR_MS - PART_MS <= lines.since_ms <= NOW_MS - HOUR_MS
    assert (lines.until_ms, lines.wanted) == (NOW_MS, [])


def test_sensors_at_taps_of_one_name_are_two_lines(cellar: Store) -> None:
    for sensor in (SENSOR, OTHER):
        say(cellar, "tap", {"name": "Bar", "sensor": sensor})
    fill(cellar, [(ONE, SENSOR, NOW_MS - 2000, 4000), (TWO, OTHER, NOW_MS - 1000, 5000)])
    found = read(cellar, NOW_MS - DAY_MS).read
    assert [(name, [value for _, value in points]) for name, points in found] == [("Bar", [4000]), ("Bar", [5000])]


def test_degrees_are_those_of_the_settings(cellar: Store) -> None:
    fill(cellar, [(ONE, SENSOR, NOW_MS - 1000, 4000)])
    chart = temperature_chart.options("us", Words("en"), read(cellar, NOW_MS - DAY_MS), Window())
    assert [value for _, value in chart["series"][0]["data"]] == [39.2]
    assert "°F" in chart["yAxis"]["axisLabel"][":formatter"]
