"""What a new figure is said to change is what it changes when it is accepted."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.core.records import Pour
from kegnet_client.hub.domain.periods import ALWAYS_MS, NEVER_MS
from kegnet_client.hub.store import calibrating, volumes
from kegnet_client.hub.store.records import Store
from kegnet_client.hub.store.volumes import DAY_MS

from .conftest import NOW_MS
from .test_house import DEVICE, KEG, left, say, send

METER = (DEVICE, 1)
POURS = [Pour(1, 100 * number, 8000, round(number * 0.4 * DAY_MS)) for number in range(1, 30)]


@pytest.fixture(params=["store", pytest.param("postgresql_store", marks=pytest.mark.process)])
def bar(request: pytest.FixtureRequest, device_key: rsa.RSAPrivateKey) -> Store:
    """A tap that had two kegs one after the other, a calibration in between, and pours of each kind of adjustment."""
    store: Store = request.getfixturevalue(request.param)
    store.add_device(DEVICE, device_key.public_key(), "bar", NOW_MS)
    tap = say(store, "tap", {"name": "left", "meters": [{"device": DEVICE, "pin": 1, "from_ms": DAY_MS}]})
    kegs = [
        say(store, "keg", {"size_ml": KEG, "taps": [{"tap": tap, "from_ms": from_ms, "until_ms": until_ms}]})
        for from_ms, until_ms in ((2 * DAY_MS, 5 * DAY_MS + 7), (6 * DAY_MS, None))
    ]
    say(store, "calibration", {"device": DEVICE, "pin": 1, "from_ms": 9 * DAY_MS, "nanolitres_per_pulse": 190_000})
    send(store, *POURS, Pour(2, 999, 8000, 3 * DAY_MS))
    by_pulses = {row.pulses: row.id for row in store.rows(volumes.SELECT_POURS)}
    say(store, "adjustment", {"what": "void"}, by_pulses[700])
    say(store, "adjustment", {"what": "spill"}, by_pulses[800])
    say(store, "adjustment", {"what": "volume", "volume_ml": 5}, by_pulses[900])
    say(store, "adjustment", {"what": "keg", "keg": kegs[1]}, by_pulses[1000])
    return store


@pytest.mark.parametrize("from_ms", [ALWAYS_MS, 2 * DAY_MS, 3 * DAY_MS + 5, 7 * DAY_MS, 9 * DAY_MS, 10 * DAY_MS])
def test_the_effect_is_that_of_the_entry(bar: Store, from_ms: int) -> None:
    before = left(bar)
    pours = {row.id: row.volume_nl for row in bar.rows(volumes.SELECT_POURS)}
    effect = bar.read(lambda connection: calibrating.read_effect(connection, METER, 210_000, from_ms))
    say(bar, "calibration", {"device": DEVICE, "pin": 1, "from_ms": from_ms, "nanolitres_per_pulse": 210_000})
    after = left(bar)
    told = {keg: change.after_nl - (change.before_nl or 0) for keg, change in effect.kegs.items() if keg is not None}
    assert {keg: volume for keg, volume in told.items() if volume} == {
        keg: after[keg] - before[keg] for keg in after if after[keg] != before[keg]
    }
    new = {row.id: row.volume_nl for row in bar.rows(volumes.SELECT_POURS)}
    assert len(effect.pours) == calibrating.MAX_SHOWN
    assert {one.id: (change.before_nl, change.after_nl) for one, change in effect.pours} == {
        one.id: (pours[one.id], new[one.id]) for one, _ in effect.pours
    }


def test_what_left_no_keg_changes_too(bar: Store) -> None:
    effect = bar.read(lambda connection: calibrating.read_effect(connection, METER, 200_000, ALWAYS_MS))
    kegless = [
        one.pulses for one in POURS if one.started_ms < 2 * DAY_MS or 5 * DAY_MS + 7 <= one.started_ms < 6 * DAY_MS
    ]
    assert effect.kegs[None].after_nl == sum(kegless) * 200_000


@pytest.mark.parametrize("until_ms", [0, DAY_MS, 3 * DAY_MS + 5, NEVER_MS])
@pytest.mark.parametrize("from_ms", [0, 1, DAY_MS - 1, 2 * DAY_MS, 3 * DAY_MS])
def test_pulses_of_a_time_are_those_of_its_pours(bar: Store, from_ms: int, until_ms: int) -> None:
    expected = sum(one.pulses for one in POURS if from_ms <= one.started_ms < until_ms)
    assert bar.read(lambda connection: volumes.read_pulses(connection, METER, from_ms, until_ms)) == expected


def test_what_was_counted_since_is_that_of_the_meter_alone(bar: Store) -> None:
    newest = bar.read(calibrating.read_newest)
    send(bar, Pour(1, 11, 8000, 30 * DAY_MS), Pour(2, 12, 8000, 30 * DAY_MS), Pour(1, 13, 8000, DAY_MS))
    found = bar.read(lambda connection: calibrating.read_counted(connection, METER, newest))
    assert [(one.pulses, one.started_ms) for one in found] == [(11, 30 * DAY_MS), (13, DAY_MS)]
