"""What Home Assistant is told of a tap is of that tap."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.hub.domain.alarms import publish
from kegnet_client.hub.outlets import home_assistant
from kegnet_client.hub.store import alarms
from kegnet_client.hub.store.records import Store

from ..test_alarms import DEVICE, House


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


def test_what_a_program_publishes_is_no_taps_problem_whatever_it_is_called(bar: House) -> None:
    bar.store.write(
        lambda connection: alarms.happen(
            connection, bar.now_ms, lambda standing: publish(standing, "keg", "1", "it leaks", bar.now_ms)
        )
    )
    assert problems(bar) == ["OFF", "OFF"]
