"""The section [Led]: the light that shows how the delivery stands."""

import re
from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_path
from kegnet_client.producers.flow_meter_section import CHIP, to_line

_NAME = re.compile(r"(?!\.)[^\s/]{1,64}")


@dataclass(frozen=True, slots=True)
class LedSettings:
    """What the section says: the ``name`` of an LED that the kernel knows, or a GPIO ``line``, or neither."""

    name: str | None
    line: str | None
    chip: Path | None
    directory: Path

    @property
    def label(self) -> str | None:
        """What people call it; None where there is none."""
        return self.name or self.line


def _to_name(text: str, _root: Path) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("is not the name of an LED; write one that ls /sys/class/leds shows, such as ACT")
    return text


LED = Section(
    "Led",
    LedSettings,
    (
        Setting(
            "name",
            "name",
            (
                "An LED of this machine that shows how the delivery stands, by its name in /sys/class/leds: on while",
                "the server takes records, blinking slowly while they wait, fast when something needs fixing, off",
                "when kegnet-client does not run. It takes: sudo systemctl enable --now kegnet-led",
            ),
            _to_name,
            example="ACT",
        ),
        Setting(
            "line",
            "line",
            ("Or the GPIO line that an LED hangs on: its name, or its number on the chip.",),
            to_line,
            example="GPIO27",
        ),
        CHIP,
        Setting("directory", "directory", ("Where the kernel shows its LEDs.",), to_path, default="/sys/class/leds"),
    ),
)
