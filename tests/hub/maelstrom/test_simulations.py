"""What is simulated is what the debugger of Maelstrom made up, and is understood as if it came from hardware."""

import json
from typing import Any

import pytest

from kegnet_client.hub.maelstrom import channels, shapes, simulations, values
from kegnet_client.hub.store.events import Event


def payload_of(text: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(text)["payload"]
    return payload


def variables(name: str, step: int) -> list[float]:
    (controller,) = payload_of(simulations.data_of(name, step))["controllers"]
    (chamber,) = controller["chambers"]
    assert (controller["id"], chamber["id"], chamber["time"]) == (2, 3, 364)
    return [chamber["variables"][variable] for variable in ("sp", "pv", "sp2", "pv2")]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("mash", [154.5, 149.9, 159.0, 149.7], [156.0, 155.9, 156.0, 156.1]),
        ("lager", [50.0, 51.2, 42.9, 51.0], [50.0] * 4),
        ("ale", [67.0, 68.2, 59.9, 68.0], [67.0] * 4),
    ],
)
def test_a_run_goes_from_its_first_values_to_its_last_in_sixteen_messages_of_eighteen_seconds(
    name: str, first: list[float], last: list[float]
) -> None:
    assert variables(name, 0) == first
    assert variables(name, simulations.STEPS - 1) == last
    length_s = (simulations.STEPS - 1) * simulations.STEP_S
    assert (simulations.STEPS, round(length_s, 6)) == (16, 18.0)


def test_a_run_is_understood_in_both_forms() -> None:
    text = simulations.data_of("ale", 0)
    assert values.read_value(text, 2, 3) == values.read_value(text, 2, 1) == values.read_value(text, 2, None) == 68.2
    events = [Event(number, 0, "data", json.dumps({"data": text})) for number in (1, 2)]
    assert channels.last_of_each_controller(events) == events[1:]
    assert payload_of(text)["beer"] == "68.2"
    assert payload_of(text)["beerSet"] == 67.0


def test_alarms_and_logs_are_those_of_the_debugger() -> None:
    said, is_known = channels.alarms_published(simulations.ALARMS)
    assert [(source, code) for source, code, _ in said] == [("system", "1001"), ("controller_1::chamber_2", "1001")]
    assert not is_known
    assert channels.alarms_published(simulations.ACKNOWLEDGE) == ([], True)
    entries = payload_of(simulations.LOGS)["entries"]
    assert [one.get("code") for one in entries] == [1001, None, None, None]


def test_controllers_profiles_and_settings_are_those_of_the_debugger() -> None:
    found = simulations.controllers()
    assert [(one.name, one.address, one.port) for one in found] == [
        ("BrewPi One", "localhost", "1234"),
        ("BrewPi Two", "localhost", "2345"),
    ]
    assert [len(chamber.devices) for one in found for chamber in one.chambers] == [6] * 4
    planned = simulations.profiles()
    assert [one.days for one in planned] == [7, 14, 8]
    assert [[point.days for point in one.profile.temperatures] for one in planned] == [[0, 7, 7, 12, 12, 14, 21]] * 3
    assert [one.profile.temperatures[0].temperature for one in planned] == [69, 53, 59]
    assert {one.profile.type for one in planned} == {"Fermentation"}
    assert len(shapes.settings_sent(simulations.LOGO)) == 1
    assert len(shapes.settings_sent(simulations.LOGO_AND_THEME)) == 2
