"""A GPIO line by libgpiod's binding, which a module stands in for; what cannot be had says what to do."""

import os
import sys
import time
import types
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from kegnet_client.core.errors import LineError
from kegnet_client.producers import gpio_line
from kegnet_client.producers.gpio_line import Bias, GpioLine

from ..support.gpio_chip import GpioChip

STAND_IN = Path(__file__).parents[1] / "support" / "gpio" / "gpiod.py"
CHIP = Path("/dev/gpiochip0")


@pytest.fixture
def chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GpioChip:
    spec = spec_from_file_location("gpiod", STAND_IN)
    assert spec is not None
    assert spec.loader is not None
    library = module_from_spec(spec)
    spec.loader.exec_module(library)
    monkeypatch.setitem(sys.modules, "gpiod", library)
    monkeypatch.setenv("STAND_IN_GPIO", str(tmp_path / "gpio"))
    return GpioChip(tmp_path / "gpio", 17)


def test_edges_come_with_their_numbers_and_the_time_since_the_boot(chip: GpioChip) -> None:
    line = GpioLine("17", None, Bias.UP)
    assert line.read() == []
    chip.turn(17, 3, 1000)
    edges = line.read()

    assert [number for _, number in edges] == [1, 2, 3]
    assert abs(edges[-1][0] - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) < 10**9
    line.look()
    line.close()


def test_a_line_is_looked_for_by_its_name(chip: GpioChip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpio_line, "DEV", tmp_path / "gpio")
    (tmp_path / "gpio" / "gpiochip1").mkdir()
    os.mkfifo(tmp_path / "gpio" / "gpiochip1" / "22")
    GpioLine("GPIO22", None, Bias.NONE).close()
    GpioLine("GPIO17", CHIP, Bias.NONE).close()

    with pytest.raises(LineError, match="no GPIO chip has a line GPIO4: gpioinfo shows"):
        GpioLine("GPIO4", None, Bias.UP)


@pytest.mark.case(95)
@pytest.mark.parametrize(
    ("line", "path", "bias", "why"),
    [
        ("17", Path("/dev/gpiochip9"), Bias.UP, "/dev/gpiochip9 is not there: ls /dev/gpiochip"),
        ("18", CHIP, Bias.UP, "/dev/gpiochip0 has no line 18: write a number below 54"),
        ("17", CHIP, Bias.DOWN, "cannot be watched with a pull-down: put a resistor there and write bias = none"),
    ],
)
@pytest.mark.usefixtures("chip")
def test_what_cannot_be_had_says_what_to_do(line: str, path: Path, bias: Bias, why: str) -> None:
    with pytest.raises(LineError, match=why):
        GpioLine(line, path, bias)


@pytest.mark.parametrize(("library", "why"), [(None, "with its extra gpio"), (types.ModuleType("gpiod"), "version 1")])
def test_a_library_that_is_missing_or_old_is_told(
    library: types.ModuleType | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gpiod", library)
    with pytest.raises(LineError, match=why):
        GpioLine("17", None, Bias.UP)


def test_a_chip_that_vanished_is_seen(chip: GpioChip, tmp_path: Path) -> None:
    line = GpioLine("17", CHIP, Bias.UP)
    (tmp_path / "gpio" / "gpiochip0" / "17").unlink()
    for look in (line.look, line.read):
        with pytest.raises(OSError, match="No such device"):
            look()
    line.close()


def test_what_was_read_before_a_chip_vanished_is_counted(
    chip: GpioChip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = GpioLine("17", CHIP, Bias.UP)
    chip.turn(17, 3, 1000)
    kind = sys.modules["gpiod"].LineRequest
    read = kind.read_edge_events

    def read_and_vanish(request: object, count: int) -> object:
        events = read(request, count)
        (tmp_path / "gpio" / "gpiochip0" / "17").unlink()
        return events

    monkeypatch.setattr(kind, "read_edge_events", read_and_vanish)
    assert [number for _, number in line.read()] == [1, 2, 3]
    with pytest.raises(OSError, match="No such device"):
        line.read()
    line.close()


@pytest.mark.skipif(not list(Path("/dev").glob("gpiochip*")), reason="this machine has no GPIO chip")
def test_the_librarys_own_names_are_the_ones_that_are_used() -> None:
    with pytest.raises(LineError):
        GpioLine("9999", CHIP, Bias.UP)
