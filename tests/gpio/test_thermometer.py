"""The 1-Wire thermometer by the kernel's own driver, down to the scratchpad and its check sum."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kegnet_client.producers.one_wire import read_bus

pytestmark = pytest.mark.slow

BUS = Path("/sys/bus/w1/devices")
SENSOR = "28-035b5c79a216"
SIMULATED = Path("/sys/module/w1_sim/parameters")


def set_simulated(name: str, value: int) -> None:
    (SIMULATED / name).write_text(str(value))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    for name, value in {"millidegrees": 3875, "present": 1, "corrupt": 0}.items():
        set_simulated(name, value)


@pytest.mark.parametrize("millidegrees", [3875, 0, 125, -125, -10_125, 99_875, 125_000])
def test_what_it_measures_is_what_is_read(millidegrees: int) -> None:
    set_simulated("millidegrees", millidegrees)
    bus = read_bus(BUS)

    assert dict(bus.millidegrees) == {SENSOR: millidegrees}
    assert bus.problem is None


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("millidegrees", 85_000, "it says 85 °C, as one does that has just lost its power"),
        ("corrupt", 1, "fails its check sum"),
        ("present", 0, "its answer is empty"),
    ],
)
def test_what_is_no_reading_says_why(name: str, value: int, why: str) -> None:
    set_simulated(name, value)
    bus = read_bus(BUS)

    assert bus.millidegrees == {}
    assert why in bus.failures[SENSOR]
