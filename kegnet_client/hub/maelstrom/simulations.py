"""What its debugger makes up, so that everything can be tried without hardware. Pure.

Texts are published as they stand here; settings, controllers and profiles are said as a client says them. A run of a
controller is told in both forms: of 2013, with chambers, and of 2014, which its later clients understand.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kegnet_client.hub.store import bodies

STEPS = 16
STEP_S = 1.2
CONTROLLER, CHAMBER = 2, 3
DAY_MS = 86_400_000


def _message(channel: str, payload: Mapping[str, Any]) -> str:
    return json.dumps({"channel": channel, "payload": payload})


ALARMS = _message(
    "alarms",
    {
        "alarms": [
            {"source": "system", "code": 1001, "msg": "Communication error with controller_1"},
            {"source": "controller_1::chamber_2", "code": 1001, "msg": "The set point was not reached in time"},
        ]
    },
)
ACKNOWLEDGE = _message("alarms", {"acknowledge": True})
LOGS = _message(
    "logs",
    {
        "entries": [
            {"source": "system", "code": 1001, "msg": "Communication error with controller_1"},
            {"source": "controller_1", "msg": "Connected again"},
            {"source": "controller_1::chamber_2", "msg": "Heating"},
            {"source": "controller_2::chamber_3", "msg": "Cooling"},
        ]
    },
)

LOGO = [{"name": "breweryLogo", "value": "s/img/logo-777.png"}]
LOGO_AND_THEME = [*LOGO, {"name": "themeStylesheet", "value": "s/css/theme.css"}]


@dataclass(frozen=True, slots=True)
class Series:
    """How set points and temperatures of two places go, in degrees Fahrenheit: sp, pv, sp2, pv2."""

    first: tuple[float, float, float, float]
    last: tuple[float, float, float, float]
    bias: float = 0.0
    """Added to all four."""

    def values(self, step: int) -> tuple[float, ...]:
        """The four at ``step`` of `STEPS`, which go straight from the first to the last."""
        part = step / (STEPS - 1)
        return tuple(
            round(first + (last - first) * part + self.bias, 1)
            for first, last in zip(self.first, self.last, strict=True)
        )


_COOL = ((55.0, 56.2, 47.9, 56.0), (55.0, 55.0, 55.0, 55.0))
SERIES = {
    "mash": Series((154.5, 149.9, 159.0, 149.7), (156.0, 155.9, 156.0, 156.1)),
    "lager": Series(*_COOL, -5.0),
    "ale": Series(*_COOL, 12.0),
}


def data_of(name: str, step: int) -> str:
    """The message on the channel ``data`` at ``step`` of the run called ``name``."""
    sp, pv, sp2, pv2 = SERIES[name].values(step)
    chamber = {
        "id": CHAMBER,
        "name": "Chamber 1",
        "variables": {"sp": sp, "pv": pv, "sp2": sp2, "pv2": pv2},
        "mode": "profile",
        "state": "idle",
        "time": 364,
    }
    return _message(
        "data",
        {
            "controllerId": CONTROLLER,
            "controllerName": "BrewPi Two",
            "beer": f"{pv:.1f}",
            "beerSet": sp,
            "fridge": f"{pv2:.1f}",
            "fridgeSet": sp2,
            "room": "0.0",
            "status": f"Simulated {name}",
            "profile": f"Simulated {name}",
            "controllers": [{"id": CONTROLLER, "name": "BrewPi Two", "chambers": [chamber]}],
        },
    )


_DEVICES = (
    ("Door", "switch", "chamber door"),
    ("Heater", "relay", "chamber heater"),
    ("Cooler", "relay", "chamber cooler"),
    ("Light", "relay", "chamber light"),
    ("Chamber thermometer", "1-Wire thermometer", "chamber temperature"),
    ("Beer thermometer", "1-Wire thermometer", "beer temperature"),
)


def controllers() -> list[bodies.Controller]:
    """Two controllers with two chambers each, in each of which are six devices."""
    devices = [
        bodies.ChamberDevice(name=name, slot=str(slot), kind=kind, hardware="simulated", function=function)
        for slot, (name, kind, function) in enumerate(_DEVICES)
    ]
    chambers = [bodies.Chamber(name=f"Chamber {number}", devices=devices) for number in (1, 2)]
    return [
        bodies.Controller(name=name, address="localhost", port=port, chambers=chambers)
        for name, port in (("BrewPi One", "1234"), ("BrewPi Two", "2345"))
    ]


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A profile, and where it is to run since how many days: a controller by its place, and a chamber by its number."""

    profile: bodies.Profile
    days: int
    controller: int
    chamber: int


_DAYS = (0, 7, 7, 12, 12, 14, 21)
_TEMPERATURES = (69, 65, 66, 66, 65, 69, 70)


def profiles() -> Sequence[PlannedRun]:
    """Three fermentations, which run since a week, two weeks, and eight days."""
    found = []
    for name, bias, days, controller, chamber in (
        ("Simulated ale", 0, 7, 0, 1),
        ("Simulated lager", -16, 14, 1, 1),
        ("Simulated kolsch", -10, 8, 1, 2),
    ):
        points = [
            bodies.Point(days=day, temperature=wanted + bias) for day, wanted in zip(_DAYS, _TEMPERATURES, strict=True)
        ]
        profile = bodies.Profile(name=name, type="Fermentation", unit="F", temperatures=points)
        found.append(PlannedRun(profile, days, controller, chamber))
    return found
