"""One look at a bus of real files: every sensor on it, and why one gives no reading."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.producers.one_wire import BusReading, NoReadingError, read_bus, read_sensor, to_millidegrees

from .stand_ins import KEG, TAP, Plug

OLD = "10-000802b4ba0e"


def test_every_temperature_sensor_on_the_bus_is_read(bus: Path, plug: Plug) -> None:
    plug(KEG, 3875)
    plug(TAP, -500)

    assert read_bus(bus) == BusReading({KEG: 3875, TAP: -500})


@pytest.mark.parametrize("millidegrees", [0, 62, -62, 125, 3875, 4937, -500, -1562, 21_312, 84_937, 125_000, -55_000])
def test_thousandths_come_out_as_the_kernel_prints_them(bus: Path, plug: Plug, millidegrees: int) -> None:
    text = plug(KEG, millidegrees).read_text()

    assert read_sensor(bus, KEG) == millidegrees
    assert text.endswith(f"t={millidegrees}\n")


@given(sixteenths=st.integers(-55 * 16, 125 * 16).filter(lambda count: count != 85 * 16))
def test_every_step_of_a_ds18b20_is_truncated_toward_zero(sixteenths: int) -> None:
    assert to_millidegrees(sixteenths / 16) == int(sixteenths * 1000 / 16)


def test_floating_point_takes_nothing_off_a_ds18s20() -> None:
    for thousandths in range(-55_000, 125_001):
        if thousandths not in (-1, 85_000):
            assert to_millidegrees(float(thousandths) * 1e-3) == thousandths


@pytest.mark.parametrize("celsius", [85.0, 127.9375, -109.9375, -55.0625, 125.0625, -0.001, float("nan"), float("inf")])
def test_what_no_beer_can_be_is_no_temperature(celsius: float) -> None:
    with pytest.raises(NoReadingError):
        to_millidegrees(celsius)


@pytest.mark.parametrize("millidegrees", [85_000, 127_937, -109_937])
def test_what_a_sensor_says_without_power_is_no_reading(bus: Path, plug: Plug, millidegrees: int) -> None:
    plug(KEG, millidegrees)
    plug(TAP, 3875)

    seen = read_bus(bus)

    assert seen.millidegrees == {TAP: 3875}
    assert seen.failures.keys() == {KEG}
    assert "°C" in seen.failures[KEG]


def test_exactly_zero_is_a_reading(bus: Path, plug: Plug) -> None:
    plug(KEG, 0)

    assert read_bus(bus).millidegrees == {KEG: 0}


ZERO = "00 00 00 00 00 00 00 00 00 : crc=00 YES\n00 00 00 00 00 00 00 00 00 t=0\n"
GOOD = "3e 00 4b 46 7f ff 02 10 6c"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"{GOOD} : crc=6c NO\n{GOOD} t=3875\n", id="CRC NO"),
        pytest.param("", id="empty"),
        pytest.param("\n", id="blank"),
        pytest.param(f"{GOOD} : crc=6c YES\n", id="one line"),
        pytest.param(f"{GOOD} : crc=6c YES\n\n", id="second line blank"),
        pytest.param(f"{GOOD} : crc=6c YES\n3e\n", id="second line cut"),
        pytest.param(f"{GOOD} : crc=6c YES\nzz zz t=3875\n", id="not hexadecimal"),
        pytest.param(ZERO, id="all zero"),
        pytest.param(b"\xff\xfe\xff\n\xff\n", id="not text"),
    ],
)
def test_a_failed_read_is_no_reading_and_the_next_sensor_is_read(bus: Path, plug: Plug, content: str | bytes) -> None:
    plug(KEG, content)
    plug(TAP, 3875)

    seen = read_bus(bus)

    assert seen.millidegrees == {TAP: 3875}
    assert list(seen.failures) == [KEG]
    assert "\n" not in seen.failures[KEG]


@pytest.mark.parametrize("temperature", ["", "t=", "t=warm", "t=85000", "t=1e999"])
def test_an_old_ds18s20_is_read_by_its_own_rules(bus: Path, plug: Plug, temperature: str) -> None:
    plug(OLD, f"{GOOD} : crc=6c YES\n{GOOD} {temperature}\n")
    assert list(read_bus(bus).failures) == [OLD]

    plug(OLD, f"{GOOD} : crc=6c YES\n{GOOD} t=21437\n")
    assert read_bus(bus).millidegrees == {OLD: 21_437}


def test_a_sensor_without_its_file_is_no_reading(bus: Path, plug: Plug) -> None:
    plug(KEG, 3875).unlink()

    assert "modprobe w1-therm" in read_bus(bus).failures[KEG]


def test_a_sensor_that_is_a_dangling_link_is_no_reading(bus: Path) -> None:
    (bus / KEG).symlink_to(bus / "gone")

    assert list(read_bus(bus).failures) == [KEG]


def test_a_sensor_whose_file_cannot_be_read_says_why(bus: Path, plug: Plug) -> None:
    plug(KEG, 3875).unlink()
    (bus / KEG / "w1_slave").mkdir()

    assert read_bus(bus).failures == {KEG: "its w1_slave cannot be read: Is a directory"}


def test_a_sensor_that_others_may_not_read_says_why(bus: Path, plug: Plug) -> None:
    path = plug(KEG, 3875)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    assert read_bus(bus).failures == {KEG: "its w1_slave cannot be read: Permission denied"}

    (bus / KEG).chmod(0)
    assert list(read_bus(bus).failures) == [KEG]
    (bus / KEG).chmod(0o755)


def test_a_sensor_below_a_link_that_cannot_be_followed_is_no_reading(bus: Path) -> None:
    (bus / KEG).symlink_to("x" * 300)

    assert list(read_bus(bus).failures) == [KEG]


def test_a_sensor_that_the_kernel_cannot_reach_says_why(bus: Path) -> None:
    (bus / KEG).mkdir()
    (bus / KEG / "w1_slave").symlink_to("/proc/self/mem")  # opens, and fails to read

    assert read_bus(bus).failures == {KEG: "its w1_slave cannot be read: Input/output error"}


def test_other_things_on_the_bus_are_no_sensors(bus: Path, plug: Plug) -> None:
    plug(KEG, 3875)
    for name in ("00-400000000000", "1d-000000000001", "28-0316A2795C5B", "28-1", "10foo", "28", ".28-0316a2795c5b"):
        (bus / name).mkdir()
    (bus / os.fsdecode(b"28-\xff")).mkdir()

    assert read_bus(bus) == BusReading({KEG: 3875})


def test_a_bus_that_was_never_there_says_what_to_do(tmp_path: Path) -> None:
    seen = read_bus(tmp_path / "none")

    assert (seen.millidegrees, seen.failures) == ({}, {})
    assert seen.problem == (
        f"no 1-Wire bus at {tmp_path}/none: put dtoverlay=w1-gpio into the Pi's config.txt and restart it"
    )


def test_an_empty_bus_says_what_to_check(bus: Path) -> None:
    assert "no temperature sensor on the 1-Wire bus" in (read_bus(bus).problem or "")


def test_a_bus_that_cannot_be_listed_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert read_bus(tmp_path / "file").problem == (
        f"the 1-Wire bus at {tmp_path}/file cannot be listed: Not a directory"
    )


def test_a_machine_without_1_wire_loads_no_kernel_module_and_waits_for_none(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "def refuse(command): raise SystemExit(f'ran {command}')\n"
        "os.system = refuse\n"
        "from kegnet_client.producers.one_wire import read_bus\n"
        "assert 'w1thermsensor' not in sys.modules, 'imported before it is needed'\n"
        f"print(read_bus(pathlib.Path({str(tmp_path / 'none')!r})).problem)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("W1THERM")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("no 1-Wire bus at ")
