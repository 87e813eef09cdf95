"""What Home Assistant is told of a tap is of that tap."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.core.records import Pour, Reading
from kegnet_client.hub.domain.alarms import publish
from kegnet_client.hub.domain.levels import STALE_MS
from kegnet_client.hub.outlets import home_assistant
from kegnet_client.hub.store import alarms
from kegnet_client.hub.store.readings import DAY_MS
from kegnet_client.hub.store.records import Store

from ..test_alarms import DEVICE, SENSOR, House


@pytest.fixture
def bar(store: Store, device_key: rsa.RSAPrivateKey) -> House:
    """Two taps with a keg each."""
    bar = House(store, device_key)
    for tap, start_ml in ((1, 900), (2, 100)):
        bar.say("tap", name=f"tap {tap}", meters=[{"device": DEVICE, "pin": tap}])
        bar.say("keg", size_ml=1000, start_ml=start_ml, taps=[{"tap": tap}])
    return bar


def problems(bar: House) -> list[str]:
    """Of each tap, whether it is told to have a problem."""
    messages = bar.store.read(lambda connection: home_assistant.read_messages(connection, "h", bar.now_ms))
    return [json.loads(one.payload)["alarm"] for one in messages if one.topic.endswith("/state")]


def test_the_alarm_of_a_tap_is_the_problem_of_that_tap_alone(bar: House) -> None:
    bar.judge.judge()
    assert problems(bar) == ["OFF", "ON"]


def available(bar: House) -> list[str]:
    """Of each tap, whether its level is."""
    messages = bar.store.read(lambda connection: home_assistant.read_messages(connection, "h", bar.now_ms))
    assert all(one.retain for one in messages if one.topic.endswith("/availability"))
    return [one.payload for one in messages if one.topic.endswith("/availability")]


def test_a_level_is_available_until_its_device_is_silent_and_without_a_meter_always(bar: House) -> None:
    bar.say("tap", name="tap 3", meters=[])
    assert available(bar) == ["offline", "offline", "online"]
    bar.send(Pour(1, 54, 4000, bar.now_ms - 5000))
    assert available(bar) == ["online", "online", "online"]
    bar.now_ms += STALE_MS
    assert available(bar) == ["online", "online", "online"]
    bar.now_ms += 1
    assert available(bar) == ["offline", "offline", "online"]


def test_a_sensor_that_is_none_any_more_is_removed(bar: House) -> None:
    def told() -> dict[str, str]:
        messages = bar.store.read(lambda connection: home_assistant.read_messages(connection, "h", bar.now_ms))
        return {one.topic: one.payload for one in messages if "sensor" in one.topic}

    word = SENSOR.replace("-", "_")
    config, topic = f"homeassistant/device/kegnet_h_sensor_{word}/config", f"kegnet/h/sensor/{word}/temperature"
    assert told() == {}
    bar.send(Reading(SENSOR, 4250, bar.now_ms))
    assert json.loads(told()[topic])["celsius"] == 4.25
    bar.now_ms += STALE_MS + 1
    assert json.loads(told()[topic])["celsius"] is None
    assert told()[config] != ""
    bar.now_ms += 31 * DAY_MS
    assert told() == {config: ""}
    bar.now_ms += 31 * DAY_MS
    assert told() == {}


def test_what_a_program_publishes_is_no_taps_problem_whatever_it_is_called(bar: House) -> None:
    bar.store.write(
        lambda connection: alarms.happen(
            connection, bar.now_ms, lambda standing: publish(standing, "keg", "1", "it leaks", bar.now_ms)
        )
    )
    assert problems(bar) == ["OFF", "OFF"]
