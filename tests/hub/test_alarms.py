"""What is wrong is raised once, told, and stands until its cause is gone and somebody has acknowledged it."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.core.records import Pour, Reading
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.bus import Bus
from kegnet_client.hub.domain.rules import HOUR_MS, MINUTE_MS
from kegnet_client.hub.ingest.forms import Proven, SignedString
from kegnet_client.hub.judge import Judge
from kegnet_client.hub.outlets.notify import read_message
from kegnet_client.hub.store import alarms, bodies, house
from kegnet_client.hub.store.records import Store

from .conftest import NOW_MS
from .test_events import read_events

DEVICE = "11111111-2222-4333-8444-555555555555"
SENSOR = "28-0000057fa1b2"


class Sent:
    """Records of `DEVICE`, taken for signed."""

    def __init__(self, key: str, *records: Pour | Reading) -> None:
        self.device = DEVICE
        self.max_records = len(records)
        self._key = key
        self._records = records

    def prove(self, _keys_pem: object, _now_ms: int) -> Proven:
        records = tuple((f"{abs(hash(one)):032x}"[:32], one) for one in self._records)
        return Proven(DEVICE, Version.V3, records, self._key, SignedString(b"", b""))


class House:
    """A hub's database and its judge, by a clock that stands still until it is set."""

    def __init__(self, store: Store, key: rsa.RSAPrivateKey) -> None:
        self.store = store
        self.now_ms = NOW_MS
        store.add_device(DEVICE, key.public_key(), "bar", NOW_MS)
        self.judge = Judge(store, Bus(store), lambda: self.now_ms)

    def send(self, *records: Pour | Reading) -> None:
        device = self.store.device(DEVICE)
        assert device is not None
        self.store.ingest([Sent(device.key_fingerprint, *records)], self.now_ms)

    def say(self, kind: str, **body: Any) -> int:
        checked = bodies.KINDS[kind].model_validate(body)
        return self.store.write(
            lambda connection: house.say(connection, kind, None, checked, "anna", self.now_ms)
        ).subject

    def standing(self) -> dict[str, str]:
        """The rules that are broken, and the state of each one's alarm."""
        found = self.store.read(alarms.read_standing)
        return {rule: alarm.state.value for (rule, _), (_, alarm) in found.items()}


@pytest.fixture(params=["store", pytest.param("postgresql_store", marks=pytest.mark.process)])
def bar(request: pytest.FixtureRequest, device_key: rsa.RSAPrivateKey) -> House:
    return House(request.getfixturevalue(request.param), device_key)


def test_a_keg_that_runs_low_is_an_alarm_once(bar: House) -> None:
    bar.say("tap", name="left", meters=[{"device": DEVICE, "pin": 0}])
    bar.say("keg", size_ml=1000, taps=[{"tap": 1}])
    assert bar.judge.judge() == []
    bar.send(Pour(0, 4700, 60_000, NOW_MS - MINUTE_MS))
    (moment,) = bar.judge.judge()
    assert (moment.key, moment.what.value) == (("keg-low", "keg 1"), "raised")
    assert bar.judge.judge() == []
    assert bar.standing() == {"keg-low": "raised"}
    (event,) = bar.store.events_after(0, 10, ["alarms"])
    told = json.loads(event.body)
    assert (told["what"], told["alarm"]["rule"], told["acknowledged"]) == ("raised", "keg-low", False)


def test_an_alarm_and_the_message_of_it_are_in_the_units_of_the_hub(bar: House) -> None:
    bar.say("settings", units="us")
    bar.say("tap", name="left", meters=[{"device": DEVICE, "pin": 0}])
    bar.say("keg", size_ml=20_000, start_ml=1893, taps=[{"tap": 1}])
    bar.say("rule", subject="all", limits={"keg_below_percent": 100})
    bar.send(Pour(0, 10, 60_000, NOW_MS - MINUTE_MS))
    bar.judge.judge()
    (event,) = bar.store.events_after(0, 10, ["alarms"])
    assert json.loads(event.body)["alarm"]["text"] == "keg 1: 0.50 gal left, 9.5 %"
    message = read_message(event)
    assert message is not None
    assert message.text == "keg 1: 0.50 gal left, 9.5 %"


def test_an_alarm_and_the_message_of_it_are_in_the_language_of_the_hub(bar: House) -> None:
    bar.say("settings", language="de")
    bar.say("tap", name="links", meters=[{"device": DEVICE, "pin": 0}])
    bar.say("keg", size_ml=20_000, start_ml=1000, taps=[{"tap": 1}])
    bar.judge.judge()
    (event,) = bar.store.events_after(0, 10, ["alarms"])
    message = read_message(event)
    assert message is not None
    assert message.text == "Fass 1: noch 1,0 l, 5 %"


def test_its_end_and_its_acknowledgement_end_it_and_its_life_is_kept(bar: House) -> None:
    bar.say("tap", name="left", meters=[{"device": DEVICE, "pin": 0}])
    keg = bar.say("keg", size_ml=1000, start_ml=100, taps=[{"tap": 1}])
    bar.say("rule", subject="all", limits={"keg_below_percent": 50})
    bar.send(Pour(0, 400, 60_000, NOW_MS - MINUTE_MS))
    bar.judge.judge()
    ended = bodies.Keg(size_ml=1000, ended_ms=NOW_MS)
    bar.store.write(lambda connection: house.say(connection, "keg", keg, ended, "anna", NOW_MS))
    (moment,) = bar.judge.judge()
    assert moment.what.value == "cleared"
    assert bar.standing() == {"keg-low": "cleared"}
    (history,) = bar.store.read(lambda connection: alarms.read_history(connection, 10))
    assert [one["what"] for one in history["life"]] == ["raised", "cleared"]


def test_a_device_and_a_sensor_that_are_silent_are_found_without_a_record(bar: House) -> None:
    bar.send(Reading(SENSOR, 4000, NOW_MS))
    bar.judge.judge()
    assert bar.standing() == {}
    bar.now_ms += 2 * HOUR_MS
    bar.judge.judge()
    assert bar.standing() == {"device-silent": "raised"}
    bar.send(Reading(SENSOR, 4000, bar.now_ms))
    bar.judge.judge()
    assert bar.standing() == {"device-silent": "cleared"}


def test_a_sensor_off_its_profile_is_an_alarm(bar: House) -> None:
    profile = bar.say("profile", name="lager", temperatures=[{"days": 0, "temperature": 10}])
    bar.say("run", profile=profile, sensor=SENSOR, started_ms=NOW_MS - 10 * HOUR_MS)
    bar.send(*(Reading(SENSOR, 14_000, NOW_MS - number * 10 * MINUTE_MS) for number in range(9)))
    bar.judge.judge()
    assert bar.standing() == {"off-profile": "raised"}


def test_limits_of_its_own_hold_for_one_sensor(bar: House) -> None:
    bar.say("rule", subject=f"sensor {SENSOR}", limits={"highest_millidegrees": 8000, "off_for_ms": 0})
    bar.send(Reading(SENSOR, 9000, NOW_MS), Reading("28-0000057fa1b3", 9000, NOW_MS))
    bar.judge.judge()
    ((_, subject),) = bar.store.read(alarms.read_standing)
    assert subject == f"sensor {SENSOR}"


def test_it_is_acknowledged_over_the_api_by_a_named_token(reader: httpx.Client) -> None:
    body = json.dumps({"channel": "alarms", "payload": {"alarms": [{"source": "system", "code": 1001, "msg": "no!"}]}})
    for _ in range(2):
        assert reader.post("/publish", data={"channel": "alarms", "data": body}).text == "Posted"
    with reader.stream("GET", "/api/events?channels=alarms&after=0") as stream:
        told = next(one for one in read_events(stream) if one.body["alarm"]["subject"] == "system 1001")
    assert {"source": "system", "code": 1001, "msg": "no!", "id": told.body["alarm"]["id"]} in told.body["standing"]
    (alarm,) = [one for one in reader.get("/api/alarms").json()["items"] if one["subject"] == "system 1001"]
    assert (alarm["rule"], alarm["text"], alarm["state"]) == ("published", "no!", "cleared")
    assert reader.post(f"/api/alarms/{alarm['id']}/acknowledge").status_code == 200
    assert all(one["id"] != alarm["id"] for one in reader.get("/api/alarms").json()["items"])
    assert reader.post(f"/api/alarms/{alarm['id']}/acknowledge").status_code == 404
    (past,) = [one for one in reader.get("/api/alarms/history").json()["items"] if one["id"] == alarm["id"]]
    assert past["acknowledged_by"] == "init"
    assert [one["what"] for one in past["life"]] == ["raised", "cleared", "acknowledged"]


@pytest.mark.parametrize("data", ["", "5", "{}", '{"payload": {"alarms": [5]}}', '{"payload": {"alarms": []}}'])
def test_an_alarm_that_says_nothing_is_refused(reader: httpx.Client, data: str) -> None:
    answer = reader.post("/publish", data={"channel": "alarms", "data": data or " "})
    assert answer.status_code == 422
    assert "alarms are" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"subject": "everything", "limits": {}}, "subject"),
        ({"subject": "all", "limits": {"no_such": 5}}, "no_such"),
        ({"subject": "all", "limits": {"keg_below_percent": 101}}, "keg_below_percent"),
        ({"subject": "all", "limits": {"off_for_ms": None}}, "off_for_ms"),
    ],
)
def test_a_rule_that_cannot_be_is_named(reader: httpx.Client, body: dict[str, Any], named: str) -> None:
    answer = reader.post("/api/rules", json=body)
    assert answer.status_code == 422
    assert named in answer.text


def test_two_that_judge_the_same_raise_one_alarm(bar: House, device_key: Callable[..., object]) -> None:
    bar.send(Reading(SENSOR, 4000, NOW_MS))
    other = Judge(bar.store, Bus(bar.store), lambda: bar.now_ms)
    bar.now_ms += 2 * HOUR_MS
    assert len(bar.judge.judge()) == 1
    assert other.judge() == []
