"""Taps, kegs and the rest on the command line, for people without a browser."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.core.errors import UsageError
from kegnet_client.core.records import Pour, Reading
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.app import wall_ms
from kegnet_client.hub.domain.alarms import publish
from kegnet_client.hub.home import Home
from kegnet_client.hub.ingest.forms import Proven, SignedString
from kegnet_client.hub.store import alarms, bodies, entries, house
from kegnet_client.hub.store.records import Store

from .test_cli import run_hub
from .test_house import DEVICE, Sent

Hub = Callable[..., str]
SENSOR = "28-0000057fa1b2"


@pytest.fixture
def hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Hub:
    """``hub("taps", "add", ...)`` runs that command on this test's own hub; what it prints."""

    def run(*words: str) -> str:
        assert run_hub(*words, "--dir", str(tmp_path / "hub")) == 0
        return capsys.readouterr().out

    run("init")
    return run


@pytest.fixture
def pour(tmp_path: Path, hub: Hub, device_key: rsa.RSAPrivateKey) -> Callable[[int], None]:
    """``pour(pulses)``: the device at the bar sends a pour of now."""
    with closing(Store(Home(tmp_path / "hub").database())) as store:
        store.add_device(DEVICE, device_key.public_key(), "bar", wall_ms())

    def send(pulses: int) -> None:
        with closing(Store(Home(tmp_path / "hub").database())) as store:
            device = store.device(DEVICE)
            assert device is not None
            store.ingest([Sent([Pour(0, pulses, 9000, wall_ms())], device.key_fingerprint)], wall_ms())

    return send


class Read(Sent):
    """A reading of `SENSOR` of now, taken for signed."""

    def prove(self, _keys_pem: Sequence[str], now_ms: int) -> Proven:
        records = (("0" * 32, Reading(SENSOR, 3875, now_ms)),)
        return Proven(self.device, Version.V3, records, self.key, SignedString(b"", b""))


def rows(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_a_keg_is_tapped_poured_from_and_ended(hub: Hub, pour: Callable[[int], None]) -> None:
    assert "left is tap 1" in hub("taps", "add", "left", "--device", DEVICE)
    assert "Keg 1, 20 l of Helles, runs from tap 1" in hub("kegs", "tap", "1", "--beverage", "Helles", "--litres", "20")
    pour(5400)
    assert "keg 1, 19.0 l left" in hub("taps")
    assert hub("kegs") == "1  19.0 of 20.0 l left (95 %)  at tap 1\n"
    (keg,) = rows(hub("kegs", "--json"))
    assert (keg["poured_ml"], keg["said_by"]) == (1000.0, "console")
    hub("kegs", "tap", "1", "--beverage", "Stout", "--litres", "10")
    assert "not tapped" in hub("kegs").splitlines()[0]
    hub("kegs", "end", "1")
    assert "no keg" in hub("taps")
    hub("taps", "end", "1")
    assert hub("taps") == ""


def test_volumes_and_temperatures_are_printed_in_the_units_of_the_settings(
    hub: Hub, pour: Callable[[int], None], tmp_path: Path
) -> None:
    hub("taps", "add", "left", "--device", DEVICE, "--sensor", SENSOR)
    hub("kegs", "tap", "1", "--beverage", "Helles", "--litres", "20")
    pour(5400)
    with closing(Store(Home(tmp_path / "hub").database())) as store:
        device = store.device(DEVICE)
        assert device is not None
        store.ingest([Read([], device.key_fingerprint)], wall_ms())
    assert "19.0 of 20.0 l left (95 %)" in hub("status")
    assert "3.9 °C" in hub("status")
    hub("settings", "units=us")
    assert "5.02 of 5.28 gal left (95 %)" in hub("status")
    assert "39.0 °F" in hub("status")
    assert "keg 1, 5.02 gal left" in hub("taps")
    assert hub("kegs") == "1  5.02 of 5.28 gal left (95 %)  at tap 1\n"
    (keg,) = rows(hub("kegs", "--json"))
    assert keg["poured_ml"] == 1000.0


def test_a_meter_is_calibrated_and_a_pour_adjusted(hub: Hub, pour: Callable[[int], None], tmp_path: Path) -> None:
    hub("taps", "add", "left", "--device", DEVICE)
    hub("kegs", "tap", "1", "--beverage", "Helles", "--litres", "20")
    pour(1000)
    said = hub("calibrate", DEVICE, "0", "--pulses", "1000", "--ml", "500", "--always")
    assert "is 500000 nanolitres, for all that it ever counted" in said
    assert "19.5 of 20.0 l left" in hub("kegs")
    hub("adjust", "1", "volume", "--ml", "1000", "--reason", "a jug")
    assert "19.0 of 20.0 l left" in hub("kegs")
    hub("adjust", "1", "none")
    assert "19.5 of 20.0 l left" in hub("kegs")
    with closing(Store(Home(tmp_path / "hub").database())) as store:
        history = store.read(lambda connection: entries.read_history(connection, "adjustment", 1))
    assert [one.body["what"] for one in history] == ["volume", "none"]


def test_a_device_and_a_profile_are_meant_by_the_names_that_people_gave_them(
    hub: Hub, pour: Callable[[int], None]
) -> None:
    hub("taps", "add", "left", "--device", "bar")
    assert f"pin 0 of {DEVICE}" in hub("taps")
    hub("calibrate", "bar", "0", "--pulses", "1000", "--ml", "500")
    hub("kegs", "tap", "1", "--beverage", "Helles", "--litres", "20")
    pour(1000)
    assert "19.5 of 20.0 l left" in hub("kegs")
    hub("profiles", "add", "lager", "0:10", "7:10")
    assert hub("profiles", "start", "lager", SENSOR) == f"Profile lager runs on {SENSOR} from now on.\n"


def test_a_tap_may_be_set_up_before_its_device_is_registered(hub: Hub) -> None:
    hub("taps", "add", "left", "--device", DEVICE.upper())
    assert f"pin 0 of {DEVICE}" in hub("taps")


def test_a_profile_is_said_and_runs(hub: Hub) -> None:
    hub("profiles", "add", "lager", "0:10", "7:10", "9:16.5")
    assert hub("profiles") == "1  lager  0:10 7:10 9:16.5  °C\n"
    assert "runs on 28-0000057fa1b2" in hub("profiles", "start", "1", "28-0000057fa1b2")


def test_an_alarm_is_shown_and_acknowledged(hub: Hub, tmp_path: Path) -> None:
    assert hub("alarms") == "Nothing is wrong.\n"
    with closing(Store(Home(tmp_path / "hub").database())) as store:
        store.write(
            lambda connection: alarms.happen(
                connection, 5, lambda standing: publish(standing, "system", "1001", "too warm", 5)
            )
        )
    assert hub("alarms") == "1  cleared  too warm\n"
    hub("alarms", "acknowledge", "1")
    assert rows(hub("alarms", "--json")) == []


def test_a_keg_that_was_typed_wrongly_is_changed_and_its_history_shows_both(hub: Hub, tmp_path: Path) -> None:
    hub("taps", "add", "Left")
    hub("kegs", "tap", "Left", "--beverage", "Hellse", "--litres", "50", "--start-litres", "10")
    assert hub("kegs", "change", "1", "--litres", "20").startswith("Keg 1 is changed")
    assert hub("kegs") == "1  10.0 of 20.0 l left (50 %)  at tap 1\n"
    changed = json.loads(hub("kegs", "change", "left", "--beverage", "Helles", "--start-litres", "20", "--json"))
    assert (changed["id"], changed["size_ml"], changed["said_by"]) == (1, 20_000, "console")
    assert hub("kegs") == "1  20.0 of 20.0 l left (100 %)  at tap 1\n"
    assert hub("beverages") == "1  Hellse  in no keg\n2  Helles  in keg 1\n"
    with closing(Store(Home(tmp_path / "hub").database())) as store:
        history = store.read(lambda connection: entries.read_history(connection, "keg", 1))
    assert [(one.body["size_ml"], one.body["start_ml"]) for one in history] == [
        (50_000, 10_000),
        (20_000, 10_000),
        (20_000, 20_000),
    ]


def test_a_keg_that_runs_no_more_is_changed_by_its_number(hub: Hub) -> None:
    hub("taps", "add", "Left")
    hub("kegs", "tap", "Left", "--beverage", "Helles", "--litres", "50")
    hub("kegs", "end", "Left")
    with pytest.raises(UsageError, match="no keg runs from tap Left"):
        hub("kegs", "change", "Left", "--litres", "20")
    hub("kegs", "change", "1", "--litres", "20")
    assert hub("kegs") == "1  20.0 of 20.0 l left (100 %)  not tapped\n"


def test_a_beverage_is_changed_in_every_keg_that_holds_it(hub: Hub) -> None:
    hub("taps", "add", "Left")
    hub("kegs", "tap", "Left", "--beverage", "Hellse", "--litres", "20")
    words = ("--name", "Helles", "--producer", "Mill", "--style", "Lager", "--abv", "4.9", "--gravity", "1.012")
    assert hub("beverages", "change", "hellse", *words).startswith("Beverage 1 is changed")
    assert hub("beverages") == "1  Helles  Mill, Lager, 4.9 %  in keg 1\n"
    changed = json.loads(hub("beverages", "change", "1", "--notes", "dry", "--json"))
    assert (changed["name"], changed["specific_gravity"], changed["notes"]) == ("Helles", 1.012, "dry")
    assert changed["said_by"] == "console"


def test_a_profile_is_stopped_where_it_runs(hub: Hub) -> None:
    hub("profiles", "add", "lager", "0:10", "7:10")
    hub("profiles", "start", "lager", SENSOR)
    assert hub("profiles") == f"1  lager  0:10 7:10  °C  runs on {SENSOR}\n"
    assert "runs on 28-0000057fa1b2 no more" in hub("profiles", "stop", "Lager")
    assert hub("profiles") == "1  lager  0:10 7:10  °C\n"
    with pytest.raises(UsageError, match="profile lager does not run; "):
        hub("profiles", "stop", "lager")


def test_a_profile_that_runs_in_several_places_is_stopped_in_the_one_that_is_named(hub: Hub, tmp_path: Path) -> None:
    hub("profiles", "add", "lager", "0:10", "7:10")
    hub("profiles", "start", "lager", SENSOR)
    with closing(Store(Home(tmp_path / "hub").database())) as store:
        fridge = bodies.Controller(name="fridge")
        run = bodies.Run(profile=1, controller=1, chamber=2, started_ms=wall_ms())
        store.write(lambda connection: house.say(connection, "controller", None, fridge, "berta", wall_ms()))
        store.write(lambda connection: house.say(connection, "run", None, run, "berta", wall_ms()))
    with pytest.raises(UsageError, match=f"in several places: name one of {SENSOR}, 1/2"):
        hub("profiles", "stop", "lager")
    with pytest.raises(UsageError, match="profile lager does not run on 1/1"):
        hub("profiles", "stop", "lager", "1/1")
    stopped = json.loads(hub("profiles", "stop", "lager", "1/2", "--json"))
    assert (stopped["controller"], stopped["chamber"], stopped["said_by"]) == (1, 2, "console")
    assert stopped["ended_ms"] is not None
    assert json.loads(hub("profiles", "--json"))[0]["runs"] == [SENSOR]


def test_settings_are_shown_and_changed(hub: Hub) -> None:
    assert "units = metric" in hub("settings")
    hub("settings", "units=us", "glass_ml=300")
    assert json.loads(hub("settings", "--json"))["glass_ml"] == 300


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("taps", "add", "left", "--device", "x"), "no device has the name or the uuid 'x'"),
        (("calibrate", "x", "0", "--pulses", "1", "--ml", "500"), "no device has the name or the uuid 'x'"),
        (("profiles", "start", "x", "28-0000057fa1b2"), "there is no profile x"),
        (("taps", "end", "7"), "there is no tap 7"),
        (("kegs", "tap", "7", "--beverage", "x", "--litres", "20"), "there is no tap 7"),
        (("kegs", "end", "7"), "no keg runs from tap 7"),
        (("kegs", "tap", "7", "--beverage", "x", "--litres", "-1"), "size_ml"),
        (("kegs", "change", "7", "--litres", "20"), "there is no keg 7"),
        (("kegs", "change", "x", "--litres", "20"), "there is no tap x"),
        (("kegs", "change", "7"), "--beverage NAME, --litres SIZE or"),
        (("beverages", "change", "7", "--abv", "5"), "there is no beverage 7"),
        (("beverages", "change", "x", "--abv", "5"), "there is no beverage x"),
        (("beverages", "change", "7"), "--name NAME"),
        (("profiles", "stop", "x"), "there is no profile x"),
        (("profiles", "stop", "7"), "profile 7 does not run"),
        (("calibrate", DEVICE, "0", "--pulses", "1", "--ml", "5000"), "no meter has"),
        (("adjust", "7", "void"), "there is no pour 7"),
        (("adjust", "7", "volume"), "volume_ml"),
        (("profiles", "add", "x", "0"), "DAY:DEGREES"),
        (("profiles", "start", "7", "28-0000057fa1b2"), "there is no profile 7"),
        (("alarms", "acknowledge", "7"), "there is no alarm 7"),
        (("settings", "units=none"), "units"),
        (("settings", "units"), "NAME=VALUE"),
    ],
)
def test_what_cannot_be_is_named(hub: Hub, words: tuple[str, ...], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        hub(*words)


def test_the_directory_may_stand_before_the_action(hub: Hub, tmp_path: Path) -> None:
    assert run_hub("taps", "--dir", str(tmp_path / "hub"), "add", "left") == 0
    assert "left" in hub("taps")


def test_a_tap_is_named_by_its_name_as_well_as_by_its_number(hub: Hub) -> None:
    hub("taps", "add", "Left")
    assert "runs from tap left" in hub("kegs", "tap", "left", "--beverage", "Bitter", "--litres", "19")
    assert len(json.loads(hub("kegs", "--json"))) == 1
    assert "The keg at tap Left is ended" in hub("kegs", "end", "Left")
    hub("taps", "add", "Left")
    with pytest.raises(UsageError, match="several are called Left: give the number, one of 1, 2"):
        hub("taps", "end", "Left")
    hub("taps", "end", "1")
    hub("taps", "end", "Left")
    assert json.loads(hub("taps", "--json")) == []
    with pytest.raises(UsageError, match="there is no tap Left"):
        hub("taps", "end", "Left")


def test_each_command_that_changes_something_tells_a_program_what_holds(
    hub: Hub, tmp_path: Path, pour: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def tell(*words: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(hub(*words, "--json"))
        return told

    tap = tell("taps", "add", "left", "--device", DEVICE)
    assert (tap["id"], tap["name"], tap["meters"][0]["device"], tap["said_by"]) == (1, "left", DEVICE, "console")
    keg = tell("kegs", "tap", "left", "--beverage", "Helles", "--litres", "20")
    assert (keg["id"], keg["size_ml"], keg["taps"][0]["tap"]) == (1, 20_000, 1)
    pour(5400)
    assert tell("calibrate", DEVICE, "0", "--pulses", "5400", "--ml", "1000", "--always")["volume_ml"] == 1000
    adjusted = tell("adjust", "1", "void", "--reason", "cleaning")
    assert (adjusted["id"], adjusted["what"], adjusted["reason"]) == (1, "void", "cleaning")
    assert tell("profiles", "add", "Pils", "0:10", "7:16")["id"] == 1
    assert tell("profiles", "start", "1", SENSOR)["sensor"] == SENSOR
    assert tell("kegs", "end", "left") == {"tap": 1, "keg": None}
    assert tell("taps", "end", "left")["ended_ms"] is not None
    with closing(Store(Home(tmp_path / "hub").database())) as store:
        store.write(
            lambda connection: alarms.happen(
                connection, wall_ms(), lambda standing: publish(standing, "system", "7", "it leaks", wall_ms())
            )
        )
    assert tell("alarms", "acknowledge", "1") == {"id": 1, "acknowledged_by": "console"}
    token = tell("token", "make", "bar", "--role", "operate")
    assert (token["name"], token["role"]) == ("bar", "operate")
    assert token["token"]
    assert tell("token", "revoke", "bar") == {"name": "bar", "is_revoked": True}
    file = tmp_path / "hub.backup"
    assert tell("backup", str(file)) == {"file": str(file), "bytes": file.stat().st_size, "has_database": True}
    assert run_hub("restore", str(file), "--dir", str(tmp_path / "other"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["has_database"] is True
    url = f"sqlite:///{tmp_path}/new.db"
    assert tell("migrate", "--to", url)["database"] == url


def test_a_keg_that_is_not_full_is_tapped_with_what_is_in_it(hub: Hub) -> None:
    hub("taps", "add", "left")
    keg = ("kegs", "tap", "left", "--beverage", "Helles", "--litres", "20", "--start-litres")
    hub(*keg, "7.5")
    assert hub("kegs") == "1  7.5 of 20.0 l left (38 %)  at tap 1\n"
    with pytest.raises(UsageError, match="start_ml: a keg of 20000 ml holds no 20500 ml"):
        hub(*keg, "20.5")
    for words, refused in ((("--litres", "5"), "5000 ml holds no 7500 ml"), (("--litres", "nan"), "size_ml")):
        with pytest.raises(UsageError, match=refused):
            hub("kegs", "change", "1", *words)
    assert hub("kegs") == "1  7.5 of 20.0 l left (38 %)  at tap 1\n"


def test_json_may_stand_before_the_action_too(hub: Hub) -> None:
    assert json.loads(hub("taps", "--json", "add", "left"))["id"] == 1
