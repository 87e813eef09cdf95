"""In each place runs one profile, and what somebody else changed meanwhile is not undone."""

import pytest

from kegnet_client.hub.store import bodies, entries, runs
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.records import Store

from .conftest import NOW_MS
from .test_house import say

SENSOR, OTHER = "28-0000057fa1b2", "28-0000057fa1b3"


def start(store: Store, profile: int, sensor: str, started_ms: int = NOW_MS) -> Entry:
    body = bodies.Run(profile=profile, sensor=sensor, started_ms=started_ms)
    return store.write(lambda connection: runs.start(connection, body, "anna", NOW_MS))


def running(store: Store) -> dict[str | None, int]:
    return {place[0]: one.subject for place, one in store.read(runs.read_running).items()}


@pytest.fixture
def profile(store: Store) -> int:
    return say(store, "profile", {"name": "Pils"})


def test_what_is_started_ends_what_ran_there_and_nothing_else(store: Store, profile: int) -> None:
    first, elsewhere = start(store, profile, SENSOR), start(store, profile, OTHER)
    second = start(store, profile, SENSOR, NOW_MS - 5)
    assert running(store) == {SENSOR: second.subject, OTHER: elsewhere.subject}
    ended = store.read(lambda connection: entries.read_one(connection, "run", first.subject))
    assert ended is not None
    assert (ended.body["ended_ms"], ended.said_by) == (NOW_MS, "anna")


def test_a_run_that_somebody_has_changed_meanwhile_is_not_stopped(store: Store, profile: int) -> None:
    seen = start(store, profile, SENSOR)
    say(store, "run", {**seen.body, "started_ms": NOW_MS - 7}, seen.subject)
    with pytest.raises(entries.ChangedError):
        store.write(lambda connection: runs.stop(connection, seen, "anna", NOW_MS))
    assert running(store) == {SENSOR: seen.subject}
