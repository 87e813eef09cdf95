"""The walk of somebody who comes from Kegbot and Home Assistant, and moves in steps, by what they read."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from ..sinks.kegbot_server import KegbotServer
from ..support.authority import Authority
from ..support.clock import FakeClock
from ..support.kegbot import KegbotModel
from ..support.mosquitto import USER, Listener, Mosquitto
from ..support.pages import section
from ..support.preloaded import Preloaded
from ..support.waits import wait_until
from .walk import PATIENCE_S, Desk, free_port, printed_command, set_in

POUR = "pour --pin PIN --pulses N --elapsed-ms MS"


@pytest.fixture
def model() -> KegbotModel:
    """What their Kegbot server knows."""
    return KegbotModel(FakeClock(), Random(1))  # noqa: S311 (no secret)


@pytest.fixture
def kegbot(chain: Path, model: KegbotModel) -> Iterator[KegbotServer]:
    server = KegbotServer(chain, model)
    yield server
    server.close()


@pytest.fixture
def desk(preloaded: Preloaded, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(preloaded, tmp_path / "root", tmp_path / "hub")
    yield desk
    desk.close()


def pour(desk: Desk, pulses: int) -> None:
    # A short one: it began after the keg was tapped.
    desk.do(POUR, {"PIN": "0", "N": str(pulses), "MS": "10"})


def ticks(model: KegbotModel) -> list[int]:
    return sorted(drink.ticks for drink in model.drinks.values())


def test_somebody_from_kegbot_keeps_it_beside_a_hub_that_home_assistant_finds(
    desk: Desk, kegbot: KegbotServer, model: KegbotModel, broker: Mosquitto, authority: Authority, tmp_path: Path
) -> None:
    deliver_to_kegbot(desk, kegbot, model, authority, tmp_path)
    daemon = desk.start("run", "delivers from")
    pour(desk, 586)
    wait_until(lambda: ticks(model) == [586], "the pour is not at the Kegbot server", PATIENCE_S)
    daemon.stop()

    port = start_hub(desk, broker, tmp_path / "hub")
    invitation = desk.do("hub invite --name NAME --url URL", {"NAME": "bar", "URL": f"https://localhost:{port}"})
    desk.follow(printed_command(invitation))
    with Listener(broker) as home_assistant:
        desk.start("run", "delivers from")
        desk.do("hub taps add NAME --device DEVICE --pin PIN", {"NAME": "Left", "DEVICE": "bar", "PIN": "0"})
        desk.do("hub kegs tap TAP --beverage NAME --litres SIZE", {"TAP": "Left", "NAME": "Pils", "SIZE": "19"})
        pour(desk, 587)
        wait_until(lambda: ticks(model) == [586, 587], "the pour is not at the Kegbot server", PATIENCE_S)
        wait_until(lambda: left_l(home_assistant) < 19, "Home Assistant hears of no pour", PATIENCE_S)
        described = [json.loads(text) for topic, text in home_assistant.last.items() if topic.endswith("/config")]
        assert [one["device"]["name"] for one in described] == ["Left"]
    (tap,) = json.loads(desk.do("hub status --json"))["taps"]
    assert tap["name"] == "Left"


def left_l(home_assistant: Listener) -> float:
    """What is left of the keg at the tap, as Home Assistant was told, which hears of the tap before it has a keg."""
    told = [text for topic, text in home_assistant.last.items() if re.fullmatch("kegnet/.*/tap/1/state", topic)]
    left = json.loads(told[0])["left_l"] if told else None
    return math.inf if left is None else float(left)


def deliver_to_kegbot(
    desk: Desk, kegbot: KegbotServer, model: KegbotModel, authority: Authority, tmp_path: Path
) -> None:
    assert "`init --kegbot URL` adds a Kegbot server" in section("From the box to the first pour")
    ca = tmp_path / "kegbot-ca.crt"
    ca.write_bytes(authority.ca)
    said = desk.do("init --kegbot URL --ca FILE", {"URL": kegbot.url, "FILE": ca})
    key = re.search(r"API key of .* on the first line of (\S+);", said)
    assert key, said
    Path(key[1]).write_text(f"{model.key}\n")
    assert "check" in said


def start_hub(desk: Desk, broker: Mosquitto, home: Path) -> int:
    """Make one that their broker hears; its port."""
    assert "Name an MQTT broker in `hub.conf` under `[mqtt]`" in section("Home Assistant")
    desk.do("hub init")
    port = free_port()
    for name, value in {"bind": "127.0.0.1", "port": str(port)}.items():
        set_in(home / "hub.conf", name, value, "hub")
    (home / "broker-ca.crt").write_bytes(broker.authority.ca)
    password = home / "mqtt-password"
    password.touch(0o600)
    password.write_bytes(broker.password_file.read_bytes())
    settings = {"broker": f"mqtts://localhost:{broker.port}", "caFile": "broker-ca.crt"}
    for name, value in {**settings, "user": USER, "passwordFile": password.name}.items():
        set_in(home / "hub.conf", name, value, "mqtt")
    desk.start("hub run", "The hub answers at ")
    return port
