"""A card of a tap tells what is wrong there, and does not show a level as current that may have fallen meanwhile."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

pytest.importorskip("nicegui", reason="takes the extra dashboard")

from kegnet_client.core.records import Pour
from kegnet_client.hub.dashboard import tap_state
from kegnet_client.hub.dashboard.tap_state import TapState
from kegnet_client.hub.domain.alarms import publish
from kegnet_client.hub.domain.levels import STALE_MS
from kegnet_client.hub.domain.rules import MINUTE_MS
from kegnet_client.hub.store import alarms
from kegnet_client.hub.store.records import Store

from ..conftest import NOW_MS
from ..test_alarms import DEVICE, SENSOR, House


@pytest.fixture
def bar(store: Store, device_key: rsa.RSAPrivateKey) -> House:
    """Two taps with kegs, the first one with a meter and a thermometer."""
    bar = House(store, device_key)
    bar.say("tap", name="left", meters=[{"device": DEVICE, "pin": 0}], sensor=SENSOR)
    bar.say("keg", size_ml=1000, start_ml=900, taps=[{"tap": 1}])
    bar.say("tap", name="right", meters=[])
    bar.say("keg", size_ml=1000, start_ml=100, taps=[{"tap": 2}])
    return bar


def look(bar: House) -> list[TapState]:
    return bar.store.read(lambda connection: tap_state.read(connection, bar.now_ms))


def test_a_level_is_old_once_its_device_is_silent_and_current_when_it_is_heard_of_again(bar: House) -> None:
    (never, _) = look(bar)
    assert never.silent is not None
    assert never.silent.heard_ms is None
    bar.send(Pour(0, 54, 4000, bar.now_ms - 5000))
    assert look(bar)[0].silent is None
    bar.now_ms += STALE_MS + 1
    (left, _) = look(bar)
    assert left.silent is not None
    assert left.silent.heard_ms == NOW_MS
    bar.send(Pour(0, 54, 4000, bar.now_ms - 5000))
    assert look(bar)[0].silent is None


def test_a_level_that_no_meter_counts_does_not_age(bar: House) -> None:
    bar.now_ms += 100 * STALE_MS
    assert look(bar)[1].silent is None


def test_each_tap_shows_its_own_alarms(bar: House) -> None:
    bar.send(Pour(0, 54, 4000, bar.now_ms - 5000))
    bar.judge.judge()
    assert [one.alarms for one in look(bar)] == [(), ("keg 2: 0.1 l left, 10 %",)]
    bar.now_ms += 26 * MINUTE_MS
    bar.judge.judge()
    assert [one.alarms for one in look(bar)] == [("bar: silent for 26 min",), ("keg 2: 0.1 l left, 10 %",)]


def test_what_was_published_is_at_no_tap(bar: House) -> None:
    bar.store.write(
        lambda connection: alarms.happen(
            connection, bar.now_ms, lambda standing: publish(standing, "keg", "2", "it leaks", bar.now_ms)
        )
    )
    assert [one.alarms for one in look(bar)] == [(), ()]
