"""A section that stands as often as there are such things, each time with a name: ``[FlowMeter tap1]``."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from kegnet_client.config.edit import render
from kegnet_client.config.parse import parse
from kegnet_client.config.settings import Section, Setting, to_path, to_seconds
from kegnet_client.core.errors import ConfigError

ROOT = Path("/opt/keg")
FILE = ROOT / "conf/client.conf"


@dataclass(frozen=True)
class Meter:
    chip: Path
    idle_s: int


@dataclass(frozen=True)
class Place:
    directory: Path


METER = Section(
    "FlowMeter",
    Meter,
    (
        Setting("chip", "chip", ("The GPIO chip.",), to_path, example="/dev/gpiochip0", required=True),
        Setting("idle_s", "idle", ("Seconds without a pulse that end a pour, 1 to 60.",), to_seconds(60), default="3"),
    ),
    example_name="tap1",
)
PLACE = Section("Place", Place, (Setting("directory", "directory", ("Where it is.",), to_path, default="here"),))
SECTIONS = (PLACE, METER)


def meters(text: str) -> dict[str, Meter]:
    return parse(text, SECTIONS, ROOT, FILE).sections(METER)


def faults_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, SECTIONS, ROOT, FILE)
    return [fault.removeprefix(f"{FILE}: ") for fault in caught.value.faults]


def test_there_are_as_many_as_stand_in_the_file_in_its_order() -> None:
    assert meters("") == {}
    assert meters("[FlowMeter left]\nchip = a\n[Place]\n[FlowMeter bar_2]\nchip = b\nidle = 9\n") == {
        "left": Meter(ROOT / "a", 3),
        "bar_2": Meter(ROOT / "b", 9),
    }


@pytest.mark.parametrize("header", ["FlowMeter tap1", "FlowMeter  tap1", "flowmeter tap1", " FLOWMETER\tTap1 "])
def test_a_name_is_the_same_in_any_spelling(header: str) -> None:
    assert list(meters(f"[{header}]\nchip = a\n")) == ["tap1"]


@pytest.mark.parametrize("second", ["FlowMeter tap1", "FlowMeter  tap1", "flowmeter tap1", "FlowMeter Tap1"])
def test_two_spellings_of_one_name_begin_it_twice(second: str) -> None:
    (fault,) = faults_of(f"[FlowMeter tap1]\nchip = a\n# [{second}]\n[{second}]\nidle = 4\n")
    assert fault == "[FlowMeter tap1]: begins twice, again in line 4; put its settings under one"


@pytest.mark.parametrize("header", ["FlowMeter", "FlowMeter tap 1", "FlowMeter tap/1", f"FlowMeter {'x' * 33}"])
def test_a_name_that_is_none_says_what_one_is(header: str) -> None:
    (fault,) = faults_of(f"[{header}]\nchip = a\n")
    assert fault.startswith(f"[{header}]: needs one name, of letters, digits, - and _, ")
    assert fault.endswith("write it like [FlowMeter tap1]")


def test_what_is_wrong_with_one_names_it() -> None:
    assert faults_of("[FlowMeter left]\nidle = soon\n[FlowMeter right]\nchip = a\nidel = 4\n") == [
        "[FlowMeter right] idel: unknown setting; did you mean idle?",
        "[FlowMeter left] chip: is missing; write chip = /dev/gpiochip0, with this device's own value",
        "[FlowMeter left] idle: 'soon': is not a number of seconds; write a whole number from 1 to 60, digits only",
    ]


def test_a_section_of_which_there_is_one_takes_no_name() -> None:
    assert faults_of("[Place bar]\n") == ["[Place bar]: unknown section; did you mean [Place]?"]


def test_a_misspelt_section_and_a_setting_elsewhere_are_told_with_an_example() -> None:
    assert faults_of("[FlowMetre tap1]\n[Place]\nchip = a\n") == [
        "[FlowMetre tap1]: unknown section; did you mean [FlowMeter tap1]?",
        "[Place] chip: unknown setting; it belongs under [FlowMeter tap1]",
    ]


def test_the_shipped_file_shows_it_and_has_none() -> None:
    text = render(SECTIONS)
    assert "\n\n#[FlowMeter tap1]\n\n# The GPIO chip.\n#chip = /dev/gpiochip0\n" in text
    assert meters(text) == {}
