"""The sections [Kegboard NAME]: a board on USB each."""

from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_path, to_whole
from kegnet_client.core.flow import FlowRules
from kegnet_client.core.records import MAX_PIN
from kegnet_client.producers.totals_section import TOTALS_SETTINGS


@dataclass(frozen=True, slots=True)
class KegboardSettings:
    """What a section says; without a ``device`` the board is the one that is found."""

    device: Path | None
    pin: int
    idle_s: int
    minimum: int
    max_hz: int

    @property
    def rules(self) -> FlowRules:
        """When a pour of this board ends, and what is none."""
        return FlowRules(idle_ms=self.idle_s * 1000, minimum=self.minimum, max_hz=self.max_hz)


KEGBOARD = Section(
    "Kegboard",
    KegboardSettings,
    (
        Setting(
            "device",
            "device",
            (
                "The board's serial port. Unless set, it is the first one in /dev/serial/by-id, ttyUSB* or ttyACM* at",
                "which a board says hello. With several boards each needs its own.",
            ),
            to_path,
            example="/dev/serial/by-id/usb-Arduino_LLC_Arduino_Uno-if00",
        ),
        Setting(
            "pin",
            "pin",
            (
                "The pin that the board's first meter (flow0) is reported as, 0 to 255; the second one's is the next.",
                "With several boards each needs numbers of its own.",
            ),
            to_whole(0, MAX_PIN),
            default="0",
        ),
        *TOTALS_SETTINGS,
    ),
    example_name="bar",
)
