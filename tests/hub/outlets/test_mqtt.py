"""A real broker hears of the taps in Home Assistant's words, with TLS, and goes and comes as it likes."""

import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from kegnet_client.core.errors import ConfigError
from kegnet_client.hub.home import Home
from kegnet_client.hub.outlets.home_assistant import EXPIRES_S, read_messages
from kegnet_client.hub.outlets.mqtt import Mqtt
from kegnet_client.hub.outlets.mqtt_section import MQTT, Broker, MqttSettings
from kegnet_client.hub.outlets.open import hub_id, open_outlets
from kegnet_client.hub.store import alarms
from kegnet_client.hub.store.records import Store

from ...support.mosquitto import USER, Listener, Mosquitto, running
from ...support.waits import wait_until
from ..conftest import Serve, serving

DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
NAME = 'le"ft #/+ ☃ $SYS/{{ 7*7 }}'
SENSOR = "28-0316a2795c5b"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker of this test's own."""
    (tmp_path / "broker").mkdir()
    with running(tmp_path / "broker") as broker:
        yield broker


def make_outlet(home: Home, broker: Mosquitto, ca: Path | None = None) -> Mqtt:
    """The outlet to ``broker``, which is trusted by ``ca`` or else its own."""
    where = Broker("localhost", broker.port, has_tls=True)
    settings = MqttSettings(where, ca or broker.authority.bundle, USER, broker.password_file)
    return Mqtt(where, settings, hub_id(home.ca()))


class Hub:
    """A hub of this test's own that tells ``broker``."""

    def __init__(self, home: Home, store: Store, start: Serve, broker: Mosquitto) -> None:
        self.id = hub_id(home.ca())
        self.store = store
        self.url = start(home, store, outlets=[make_outlet(home, broker)])
        self.web = httpx.Client(
            base_url=self.url,
            verify=ssl.create_default_context(cafile=home.ca_certificate),
            headers={"Authorization": f"Bearer {home.token()}"},
            trust_env=False,
        )

    def make_tap(self) -> int:
        """A tap with 20 litres."""
        meters = [{"device": DEVICE, "pin": 3}]
        made = self.web.post("/api/taps", json={"name": NAME, "meters": meters, "sensor": SENSOR})
        assert made.status_code == 201, made.text
        tap = made.json()["id"]
        assert self.web.post("/api/kegs", json={"size_ml": 20_000, "taps": [{"tap": tap}]}).status_code == 201
        return int(tap)

    def topic(self, tap: int, what: str) -> str:
        return f"kegnet/{self.id}/tap/{tap}/{what}"

    def discovery(self, tap: int) -> str:
        return f"homeassistant/device/kegnet_{self.id}_tap_{tap}/config"


@pytest.fixture
def post_record(device_key: Any, form: Callable[..., bytes]) -> Callable[..., None]:
    """Stores a record of the device."""

    def post(hub: Hub, call: str, **fields: object) -> None:
        if hub.store.device(DEVICE) is None:
            hub.store.add_device(DEVICE, device_key.public_key(), "bar", 1)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = hub.web.post(f"/rest/v2/{call}", content=form(call, id=DEVICE, **fields), headers=headers)
        assert answer.status_code == 200

    return post


@pytest.fixture
def hub(make_home: Callable[[], Home], tmp_path: Path, start: Serve, broker: Mosquitto) -> Iterator[Hub]:
    """A hub that tells the broker."""
    with closing(Store(tmp_path / "hub.db")) as store:
        store.prepare()
        hub = Hub(make_home(), store, start, broker)
        with hub.web:
            yield hub


def test_a_tap_is_described_once_with_all_its_components(hub: Hub, broker: Mosquitto) -> None:
    tap = hub.make_tap()
    with Listener(broker) as heard:
        wait_until(lambda: hub.topic(tap, "state") in heard.last, "the tap is not told")
        config = json.loads(heard.last[hub.discovery(tap)])
    assert config["device"]["name"] == NAME
    assert config["origin"]["name"] == "kegnet-client"
    hubs = {"topic": f"kegnet/{hub.id}/availability"}
    assert config["availability"] == [hubs]
    components = config["components"]
    assert {key: (one["platform"], one.get("device_class")) for key, one in components.items()} == {
        "left": ("sensor", "volume_storage"),
        "level": ("sensor", None),
        "last_poured": ("sensor", "volume"),
        "poured": ("sensor", "volume"),
        "last_pour": ("sensor", "timestamp"),
        "temperature": ("sensor", "temperature"),
        "alarm": ("binary_sensor", "problem"),
    }
    assert components["temperature"]["expire_after"] == EXPIRES_S
    assert {key for key, one in components.items() if "availability" in one} == {"left", "level", "poured"}
    for key in ("left", "level", "poured"):
        assert components[key]["availability"] == [hubs, {"topic": hub.topic(tap, "availability")}]
        assert components[key]["availability_mode"] == "all"
    assert len({one["unique_id"] for one in components.values()}) == len(components)
    assert "object_id" not in json.dumps(config)
    fields = set(json.loads(heard.last[hub.topic(tap, "state")])) | {"celsius"}
    templates = "".join(one["value_template"] + one.get("last_reset_value_template", "") for one in components.values())
    assert set(re.findall(r"value_json\.(\w+)", templates)) == fields


def test_a_name_is_in_no_topic(hub: Hub, broker: Mosquitto) -> None:
    tap = hub.make_tap()
    with Listener(broker) as heard:
        wait_until(lambda: hub.topic(tap, "temperature") in heard.last or hub.discovery(tap) in heard.last, "nothing")
        wait_until(lambda: len(heard.last) >= 3, "less was said")
    assert all(re.fullmatch(r"[a-z0-9_/]+", topic) for topic in heard.last)


def test_a_pour_and_a_reading_are_told_and_what_is_as_before_is_not(
    hub: Hub, broker: Mosquitto, post_record: Callable[..., None]
) -> None:
    tap, now_ms = hub.make_tap(), time.time_ns() // 1_000_000
    with Listener(broker) as heard:
        wait_until(lambda: hub.topic(tap, "state") in heard.last, "the tap is not told")
        described = heard.count_of(hub.discovery(tap))
        post_record(hub, "pour", pin=3, pulses=5400, et=9000, ts=now_ms)
        wait_until(lambda: '"left_l":19.0' in heard.last[hub.topic(tap, "state")], "the pour is not told")
        assert heard.count_of(hub.discovery(tap)) == described
        state = json.loads(heard.last[hub.topic(tap, "state")])
    assert (state["level_percent"], state["poured_l"], state["last_poured_l"]) == (95, 1.0, 1.0)
    assert state["last_pour"].endswith("+00:00")
    assert state["alarm"] == "OFF"


def test_an_alarm_of_a_tap_is_its_problem_until_it_is_over(
    hub: Hub, broker: Mosquitto, post_record: Callable[..., None]
) -> None:
    tap, now_ms = hub.make_tap(), time.time_ns() // 1_000_000
    with Listener(broker) as heard:
        wait_until(lambda: hub.topic(tap, "state") in heard.last, "the tap is not told")
        post_record(hub, "pour", pin=3, pulses=5400 * 18, et=170_000, ts=now_ms)
        wait_until(lambda: '"alarm":"ON"' in heard.last[hub.topic(tap, "state")], "the alarm is not told")
    assert {key[0] for key in hub.store.read(alarms.read_standing)} >= {"keg-low"}


@pytest.mark.case(73)
def test_a_broker_that_went_and_came_hears_all_of_it_again_and_no_request_waits(
    hub: Hub, broker: Mosquitto, post_record: Callable[..., None]
) -> None:
    tap = hub.make_tap()
    with Listener(broker) as heard:
        wait_until(lambda: hub.topic(tap, "state") in heard.last, "the tap is not told")
    broker.stop(kill=True)
    for number in range(3):
        begun_s = time.monotonic()
        post_record(hub, "pour", pin=3, pulses=540, et=1000, ts=time.time_ns() // 1_000_000 + number)
        assert time.monotonic() - begun_s < 5
    broker.start()
    with Listener(broker) as heard:
        wait_until(lambda: hub.topic(tap, "state") in heard.last, "the tap is not told again", 60)
        assert json.loads(heard.last[hub.topic(tap, "state")])["left_l"] == 19.7
        assert hub.discovery(tap) in heard.last
        assert heard.last[f"kegnet/{hub.id}/availability"] == "online"


def test_home_assistant_that_starts_hears_all_of_it(hub: Hub, broker: Mosquitto) -> None:
    tap = hub.make_tap()
    with Listener(broker) as heard:
        wait_until(lambda: hub.topic(tap, "state") in heard.last, "the tap is not told")
        told = heard.count_of(hub.discovery(tap))
        heard.publish("homeassistant/status", "online")
        wait_until(lambda: heard.count_of(hub.discovery(tap)) > told, "it is not told again")


def test_a_tap_that_ended_is_removed(hub: Hub, broker: Mosquitto) -> None:
    tap = hub.make_tap()
    with Listener(broker) as heard:
        wait_until(lambda: hub.topic(tap, "state") in heard.last, "the tap is not told")
        keg = hub.web.get("/api/kegs").json()["items"][0]["id"]
        assert hub.web.delete(f"/api/kegs/{keg}").is_success
        assert hub.web.delete(f"/api/taps/{tap}").is_success
        wait_until(lambda: heard.last[hub.discovery(tap)] == "", "the tap is not removed")
        wait_until(lambda: heard.last[hub.topic(tap, "state")] == "", "its state is not removed")
        wait_until(lambda: heard.last[hub.topic(tap, "availability")] == "", "its availability is not removed")
    with Listener(broker) as later:
        later.publish("x/done", "1")
        wait_until(lambda: "x/done" in later.last, "the broker does not answer")
        assert not [topic for topic in later.retained if "tap" in topic]


def test_a_level_is_available_while_its_device_is_heard_of(
    hub: Hub, broker: Mosquitto, post_record: Callable[..., None]
) -> None:
    tap, now_ms = hub.make_tap(), time.time_ns() // 1_000_000
    with Listener(broker) as heard:
        topic = hub.topic(tap, "availability")
        wait_until(lambda: heard.last.get(topic) == "offline", "a level is told of which nothing is known")
        post_record(hub, "pour", pin=3, pulses=5400, et=9000, ts=now_ms)
        wait_until(lambda: heard.last[topic] == "online", "the level is not available")


def test_a_sensor_at_no_tap_is_found_under_its_devices_name_and_at_one_it_is_the_taps(
    hub: Hub, broker: Mosquitto, device_key: Any, submission: Callable[..., Any], record: Callable[..., Any]
) -> None:
    now_ms = time.time_ns() // 1_000_000
    hub.store.add_device(DEVICE, device_key.public_key(), "bar", 1)
    word = SENSOR.replace("-", "_")
    topic, discovery = f"kegnet/{hub.id}/sensor/{word}/temperature", f"kegnet_{hub.id}_sensor_{word}"
    reading = record("reading", DEVICE, sensor=SENSOR, millidegrees=4250, taken_ms=now_ms)
    with Listener(broker) as heard:
        hub.store.ingest([submission(DEVICE, [reading])], now_ms)
        wait_until(lambda: '"celsius":4.25' in heard.last.get(topic, ""), "the reading is not told")
        config = json.loads(heard.last[f"homeassistant/device/{discovery}/config"])
        assert config["device"]["name"] == f"bar {SENSOR}"
        assert config["device"]["identifiers"] == [discovery]
        (component,) = config["components"].values()
        assert (component["state_topic"], component["expire_after"]) == (topic, EXPIRES_S)
        assert "state_topic" not in config
        tap = hub.make_tap()
        wait_until(lambda: heard.last[f"homeassistant/device/{discovery}/config"] == "", "it is not removed")
        wait_until(lambda: '"celsius":4.25' in heard.last.get(hub.topic(tap, "temperature"), ""), "the tap has none")
    with Listener(broker) as later:
        later.publish("x/done", "1")
        wait_until(lambda: "x/done" in later.last, "the broker does not answer")
        assert topic not in later.retained, "an old one would be given as new"


def test_the_hub_says_when_it_stops(make_home: Callable[[], Home], tmp_path: Path, broker: Mosquitto) -> None:
    home = make_home()
    availability = f"kegnet/{hub_id(home.ca())}/availability"
    with closing(Store(tmp_path / "hub.db")) as store, Listener(broker) as heard:
        store.prepare()
        with serving(home, store, outlets=[make_outlet(home, broker)]):
            wait_until(lambda: heard.last.get(availability) == "online", "the hub is not there")
        wait_until(lambda: heard.last[availability] == "offline", "it did not say that it stopped")


def test_an_old_temperature_is_none(
    hub: Hub, broker: Mosquitto, device_key: Any, submission: Callable[..., Any], record: Callable[..., Any]
) -> None:
    tap, now_ms = hub.make_tap(), time.time_ns() // 1_000_000
    hub.store.add_device(DEVICE, device_key.public_key(), "bar", 1)
    reading = record("reading", DEVICE, sensor=SENSOR, millidegrees=4250, taken_ms=now_ms)
    with Listener(broker) as heard:
        hub.store.ingest([submission(DEVICE, [reading])], now_ms)
        topic = hub.topic(tap, "temperature")
        wait_until(lambda: '"celsius":4.25' in heard.last.get(topic, ""), "the reading is not told")

    def told(at_ms: int) -> Any:
        messages = hub.store.read(lambda connection: read_messages(connection, hub.id, at_ms))
        (found,) = [one for one in messages if one.topic == topic]
        assert not found.retain
        return json.loads(found.payload)["celsius"]

    assert told(now_ms + EXPIRES_S * 1000) == 4.25
    assert told(now_ms + EXPIRES_S * 1000 + 1) is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho forgets a socket without TLS
@pytest.mark.parametrize("fault", ["its CA", "its password"])
def test_a_broker_that_does_not_take_us_or_that_we_do_not_is_told_once_and_without_the_password(
    make_home: Callable[[], Home], store: Store, start: Serve, broker: Mosquitto, caplog: Any, fault: str
) -> None:
    home = make_home()
    if fault == "its CA":
        start(home, store, outlets=[make_outlet(home, broker, ca=home.ca_certificate)])
        said = "certificate verify failed"
    else:
        broker.password_file.write_text("secret-but-wrong\n")
        start(home, store, outlets=[make_outlet(home, broker)])
        said = "Not authorized"
    wait_until(lambda: said in caplog.text, "it is not told")
    wait_until(lambda: len(re.findall("New connection|unknown ca", broker.log())) >= 3, "it does not try again")
    assert len([one for one in caplog.records if "MQTT broker" in one.message]) == 1
    assert "secret-but-wrong" not in caplog.text


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["broker = mqtts://localhost", "caFile = nowhere.crt"], "nowhere.crt cannot be used"),
        (["broker = mqtts://localhost", "user = me", "passwordFile = nowhere"], "nowhere cannot be read"),
        (["broker = mqtts://localhost", "passwordFile = ca.crt"], "passwordFile of hub.conf needs a user"),
        (["broker = mqtt://localhost", "caFile = ca.crt"], "caFile of hub.conf is for an encrypted broker"),
        (["broker = localhost"], "write it as mqtts://HOST"),
        (["broker = mqtts://localhost:70000"], "write it as mqtts://HOST"),
    ],
)
def test_what_cannot_be_meant_is_said_at_the_start(make_home: Callable[[], Home], lines: list[str], said: str) -> None:
    home = make_home()
    home.settings.write_text("\n".join(["[mqtt]", *lines]))
    with pytest.raises(ConfigError, match=said):
        open_outlets(home.config(), home.ca())


@pytest.mark.parametrize(
    ("text", "broker"),
    [
        ("mqtts://Bar.example", Broker("Bar.example", 8883, has_tls=True)),
        ("mqtt://127.0.0.1", Broker("127.0.0.1", 1883, has_tls=False)),
        ("mqtts://[::1]:9", Broker("::1", 9, has_tls=True)),
    ],
)
def test_a_broker_is_a_url(make_home: Callable[[], Home], text: str, broker: Broker) -> None:
    home = make_home()
    home.settings.write_text(f"[mqtt]\nbroker = {text}")
    assert home.config().section(MQTT).broker == broker


def test_a_library_is_only_imported_where_it_is_wanted() -> None:
    program = "import sys, kegnet_client.hub.app; print(sorted({'paho', 'apprise'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
