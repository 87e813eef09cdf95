"""The sections [FlowMeter NAME]: a flow meter on a GPIO line each."""

import re
from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_path, to_whole
from kegnet_client.core.flow import FlowRules
from kegnet_client.core.records import MAX_PIN
from kegnet_client.producers.gpio_line import Bias

MIN_IDLE_MS = 500
MAX_IDLE_MS = 60_000
MAX_MINIMUM = 10_000
MAX_HZ = 100_000

_LINE = re.compile(r"[0-9]{1,4}|[A-Za-z_][A-Za-z0-9_.+-]{0,31}")
_SECONDS = re.compile(r"[0-9]{1,2}(\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class FlowMeterSettings:
    """What the section says. ``line`` is a number or a name; without a ``chip`` it is looked for."""

    line: str
    pin: int
    chip: Path | None
    bias: Bias
    idle_ms: int
    minimum: int
    max_hz: int

    @property
    def rules(self) -> FlowRules:
        """When a pour ends, and what is none."""
        return FlowRules(idle_ms=self.idle_ms, minimum=self.minimum, max_hz=self.max_hz)


def to_line(text: str, _root: Path) -> str:
    """The converter for a GPIO line: a number, or a name."""
    if not _LINE.fullmatch(text):
        raise ValueError("is not a line; write its number, or its name as gpioinfo shows it, such as GPIO17")
    return text


def _to_bias(text: str, _root: Path) -> Bias:
    try:
        return Bias(text)
    except ValueError:
        raise ValueError(f"is none of {', '.join(bias.value for bias in Bias)}") from None


def _to_idle_ms(text: str, _root: Path) -> int:
    idle_ms = round(float(text) * 1000) if _SECONDS.fullmatch(text) else 0
    if not MIN_IDLE_MS <= idle_ms <= MAX_IDLE_MS:
        raise ValueError("is not a number of seconds from 0.5 to 60, such as 1.2")
    return idle_ms


CHIP = Setting(
    "chip",
    "chip",
    ("The chip that has the line. Unless set, a name is looked for, and a number is of /dev/gpiochip0.",),
    to_path,
    example="/dev/gpiochip0",
)

FLOW_METER = Section(
    "FlowMeter",
    FlowMeterSettings,
    (
        Setting(
            "line",
            "line",
            ("The GPIO line that a flow meter hangs on: its name, or its number on the chip.",),
            to_line,
            example="GPIO17",
            required=True,
        ),
        Setting(
            "pin",
            "pin",
            (f"The number of the tap in its records, 0 to {MAX_PIN}.",),
            to_whole(0, MAX_PIN),
            example="0",
            required=True,
        ),
        CHIP,
        Setting(
            "bias",
            "bias",
            ("What holds the line while the meter does not: pull-up, pull-down or none (a resistor of your own).",),
            _to_bias,
            default="pull-up",
        ),
        Setting("idle_ms", "idle", ("Seconds without a pulse that end a pour, 0.5 to 60.",), _to_idle_ms, default="3"),
        Setting(
            "minimum",
            "minimum",
            (
                f"How many pulses are a pour, 1 to {MAX_MINIMUM}. Fewer are drips: they are added up, and sent as one",
                "record an hour at most.",
            ),
            to_whole(1, MAX_MINIMUM),
            default="54",
        ),
        Setting(
            "max_hz",
            "maxHz",
            (f"How many pulses a second the meter gives at most, 10 to {MAX_HZ}. More is a bad contact, and no pour.",),
            to_whole(10, MAX_HZ),
            default="2000",
        ),
    ),
    example_name="tap1",
)
