"""The section [Thermometer]: the 1-Wire bus and the sensor on it that is reported."""

from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_path
from kegnet_client.core.records import is_sensor


@dataclass(frozen=True, slots=True)
class ThermometerSettings:
    """What the section says; without a ``sensor`` all are reported, or the first by id."""

    directory: Path
    sensor: str | None


def _to_sensor(text: str, _root: Path) -> str:
    if not is_sensor(text):
        raise ValueError("is not a 1-Wire id; write it as its directory is called, such as 28-0316a2795c5b")
    return text


THERMOMETER = Section(
    "Thermometer",
    ThermometerSettings,
    (
        Setting(
            "directory",
            "directory",
            ("Where the kernel shows the 1-Wire thermometers.",),
            to_path,
            default="/sys/bus/w1/devices",
        ),
        Setting(
            "sensor",
            "sensor",
            (
                "The one thermometer whose temperature is reported. Unless set, all of them are on REST v3; on v1 and",
                "v2, which know one temperature a device, it is the first by id.",
            ),
            _to_sensor,
            example="28-0316a2795c5b",
        ),
    ),
)
