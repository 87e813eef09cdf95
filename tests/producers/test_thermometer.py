"""The thermometer against trees of real files, and a FIFO for a bus that hangs."""

import logging
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kegnet_client import RELEASED_MS
from kegnet_client.clock import Clock
from kegnet_client.core.errors import SpoolError
from kegnet_client.core.records import Heartbeat, Reading
from kegnet_client.producers.bus import (
    BusReader,
    BusReading,
    NoReadingError,
    read_bus,
    read_sensor,
    to_millidegrees,
)
from kegnet_client.producers.thermometer import Thermometer

KEG = "28-0316a2795c5b"
TAP = "28-0516a27f3cff"
OLD = "10-000802b4ba0e"

NOW_MS = RELEASED_MS + 86_400_000

Plug = Callable[[str, int | str | bytes], Path]
Text = Callable[[int], str]


class FakeClock(Clock):
    """Set, and long after the boot, unless told otherwise."""

    def __init__(self) -> None:
        super().__init__(lambda: (5, 0x40))
        self.now_ms = NOW_MS
        self.since_boot_s = 1e6

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_s(self) -> float:
        return self.since_boot_s


class Outbox:
    """Stands in for the spool and for the uploader's way of sending a sign of life."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[Reading | Heartbeat] = queue.SimpleQueue()
        self.full = False

    def enqueue(self, reading: Reading) -> None:
        if self.full:
            raise SpoolError("less than 5 % of the disk is free: make room")
        self.queue.put(reading)

    def next(self) -> Reading | Heartbeat:
        return self.queue.get(timeout=10)

    def all(self) -> list[Reading | Heartbeat]:
        return [self.queue.get() for _ in range(self.queue.qsize())]


Make = Callable[..., Thermometer]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def make(bus: Path, clock: FakeClock, outbox: Outbox) -> Iterator[Make]:
    made: list[Thermometer] = []

    def thermometer(**settings: Any) -> Thermometer:
        of_bus = {name: settings.pop(name) for name in ("read", "timeout_s") if name in settings}
        defaults: dict[str, Any] = {
            "bus": BusReader(settings.pop("directory", bus), **of_bus),
            "interval_s": 600.0,
            "sensor": None,
            "all_sensors": False,
            "enqueue": outbox.enqueue,
            "heartbeat": outbox.queue.put,
            "changed": lambda: None,
            "clock": clock,
        }
        made.append(Thermometer(**defaults | settings))
        return made[-1]

    yield thermometer
    for thread in made:
        thread.stop()
        if thread.ident is not None:
            thread.join(10)


@pytest.fixture
def hang(plug: Plug) -> Iterator[Callable[[str], Callable[[], None]]]:
    """Makes a sensor's read block as a stuck bus does; what it returns ends that."""
    hung: list[Path] = []

    def make_fifo(sensor: str) -> Callable[[], None]:
        path = plug(sensor, "")
        path.unlink()
        os.mkfifo(path)
        hung.append(path)
        return lambda: release(path)

    def release(path: Path) -> None:
        for reader in [thread for thread in threading.enumerate() if thread.name == "thermometer-read"]:
            for _ in range(200):  # the reader may be just about to open it
                if path.exists():
                    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
                reader.join(0.05)
                if not reader.is_alive():
                    break

    yield make_fifo
    for path in hung:
        release(path)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged since the last look."""
    caplog.set_level(logging.DEBUG)

    def take() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

    return take


# --- one look at the bus ---------------------------------------------------------------------------------------


def test_every_temperature_sensor_on_the_bus_is_read(bus: Path, plug: Plug) -> None:
    plug(KEG, 3875)
    plug(TAP, -500)

    assert read_bus(bus) == BusReading({KEG: 3875, TAP: -500})


@pytest.mark.parametrize("millidegrees", [0, 62, -62, 125, 3875, 4937, -500, -1562, 21_312, 84_937, 125_000, -55_000])
def test_thousandths_come_out_as_the_kernel_prints_them(bus: Path, plug: Plug, millidegrees: int) -> None:
    text = plug(KEG, millidegrees).read_text()

    assert read_sensor(bus, KEG) == millidegrees
    assert text.endswith(f"t={millidegrees}\n")


@settings(deadline=None)
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
        "from kegnet_client.producers.bus import read_bus\n"
        "assert 'w1thermsensor' not in sys.modules, 'imported before it is needed'\n"
        f"print(read_bus(pathlib.Path({str(tmp_path / 'none')!r})).problem)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("W1THERM")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("no 1-Wire bus at ")


# --- rounds ----------------------------------------------------------------------------------------------------


def test_a_round_spools_what_the_sensor_reads_with_the_time_it_was_taken(
    make: Make, plug: Plug, outbox: Outbox
) -> None:
    plug(KEG, 3875)
    thermometer = make(interval_s=600.0)

    assert thermometer.one_round() == 600.0

    reading = Reading(KEG, 3875, NOW_MS)
    assert outbox.all() == [reading]
    assert thermometer.latest() == {KEG: reading}
    assert (thermometer.problem, thermometer.not_taken) == (None, 0)


def test_a_failed_read_is_a_sign_of_life_and_never_the_last_value_again(
    make: Make, plug: Plug, outbox: Outbox, clock: FakeClock
) -> None:
    plug(KEG, 3875)
    thermometer = make()
    thermometer.one_round()
    plug(KEG, "")
    clock.now_ms += 600_000
    thermometer.one_round()

    assert outbox.all() == [Reading(KEG, 3875, NOW_MS), Heartbeat(NOW_MS + 600_000)]
    assert thermometer.latest() == {KEG: Reading(KEG, 3875, NOW_MS)}
    assert (thermometer.problem or "").startswith(f"sensor {KEG} gives no reading: ")


def test_the_first_sensor_by_id_is_reported_where_none_is_configured(make: Make, plug: Plug, outbox: Outbox) -> None:
    plug(TAP, 5000)
    plug(KEG, 3875)
    thermometer = make()
    thermometer.one_round()

    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]
    assert thermometer.latest().keys() == {KEG, TAP}


def test_the_first_sensor_by_id_that_reads_is_settled_on(make: Make, plug: Plug, outbox: Outbox) -> None:
    plug(KEG, "")
    plug(TAP, 5000)
    thermometer = make()
    thermometer.one_round()
    plug(KEG, 3875)
    thermometer.one_round()

    assert outbox.all() == [Reading(TAP, 5000, NOW_MS)] * 2


def test_a_series_never_alternates_between_two_sensors(make: Make, plug: Plug, outbox: Outbox, bus: Path) -> None:
    plug(TAP, 5000)
    thermometer = make()
    thermometer.one_round()
    plug(KEG, 3875)
    thermometer.one_round()
    plug(TAP, "")
    thermometer.one_round()
    assert outbox.all() == [Reading(TAP, 5000, NOW_MS), Reading(TAP, 5000, NOW_MS), Heartbeat(NOW_MS)]

    shutil.rmtree(bus / TAP)
    thermometer.one_round()
    plug(TAP, 5000)
    thermometer.one_round()
    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)] * 2


def test_a_bus_that_was_away_comes_back_with_the_same_sensor(make: Make, plug: Plug, outbox: Outbox, bus: Path) -> None:
    plug(TAP, 5000)
    thermometer = make()
    thermometer.one_round()
    shutil.rmtree(bus)
    thermometer.one_round()
    bus.mkdir()
    plug(KEG, 3875)
    plug(TAP, 5000)
    thermometer.one_round()

    assert outbox.all()[0] == Reading(TAP, 5000, NOW_MS)
    assert thermometer.latest().keys() == {KEG, TAP}


def test_the_configured_sensor_is_reported(make: Make, plug: Plug, outbox: Outbox) -> None:
    plug(KEG, 3875)
    plug(TAP, 5000)
    make(sensor=TAP).one_round()

    assert outbox.all() == [Reading(TAP, 5000, NOW_MS)]


def test_no_other_sensor_stands_in_for_the_configured_one(
    make: Make, plug: Plug, outbox: Outbox, lines: Callable[[], list[str]]
) -> None:
    plug(KEG, 3875)
    thermometer = make(sensor=TAP)
    for _ in range(3):
        thermometer.one_round()

    assert outbox.all() == [Heartbeat(NOW_MS)] * 3
    missing = f"it is configured as the one to report and is not on the 1-Wire bus, which has {KEG}"
    assert thermometer.problem == f"sensor {TAP} gives no reading: {missing}"
    assert lines() == [f"sensor {KEG} reads: 3.9 °C", f"sensor {TAP} gives no reading, pours go on: {missing}"]


def test_a_protocol_for_all_sensors_gets_all(make: Make, plug: Plug, outbox: Outbox) -> None:
    plug(TAP, 5000)
    plug(KEG, 3875)
    make(all_sensors=True, sensor=TAP).one_round()

    assert outbox.all() == [Reading(KEG, 3875, NOW_MS), Reading(TAP, 5000, NOW_MS)]


# --- changes, a line each --------------------------------------------------------------------------------------


def test_a_sensor_plugged_in_later_pulled_out_and_back_is_told_once_each(
    make: Make, plug: Plug, bus: Path, lines: Callable[[], list[str]]
) -> None:
    thermometer = make()

    def told_in_three_rounds() -> list[str]:
        for _ in range(3):
            thermometer.one_round()
        return lines()

    empty = (
        f"no temperatures, pours go on: no temperature sensor on the 1-Wire bus at {bus}: "
        "check the wiring and the pull-up resistor (4.7 kΩ)"
    )
    assert told_in_three_rounds() == [empty]
    plug(KEG, 3875)
    assert told_in_three_rounds() == [f"sensor {KEG} reads: 3.9 °C"]
    plug(TAP, 5000)
    assert told_in_three_rounds() == [f"sensor {TAP} reads: 5.0 °C"]
    shutil.rmtree(bus / TAP)
    assert told_in_three_rounds() == [f"sensor {TAP} is gone from the 1-Wire bus"]
    shutil.rmtree(bus / KEG)
    assert told_in_three_rounds() == [empty]
    plug(KEG, 3875)
    assert told_in_three_rounds() == [f"sensor {KEG} reads: 3.9 °C"]
    plug(KEG, "")
    [failing] = told_in_three_rounds()
    assert failing.startswith(f"sensor {KEG} gives no reading, pours go on: ")
    plug(KEG, 85_000)
    assert told_in_three_rounds() == []
    plug(KEG, 4000)
    assert told_in_three_rounds() == [f"sensor {KEG} reads again: 4.0 °C"]
    assert thermometer.problem is None


def test_a_pi_without_1_wire_says_so_once_and_sends_signs_of_life(
    make: Make, tmp_path: Path, outbox: Outbox, lines: Callable[[], list[str]]
) -> None:
    thermometer = make(directory=tmp_path / "none", sensor=KEG)
    for _ in range(5):
        thermometer.one_round()

    assert outbox.all() == [Heartbeat(NOW_MS)] * 5
    [line] = lines()
    assert line.startswith(f"no temperatures, pours go on: no 1-Wire bus at {tmp_path}/none: ")


def test_it_is_told_which_of_many_sensors_is_reported(make: Make, plug: Plug, lines: Callable[[], list[str]]) -> None:
    plug(KEG, 3875)
    plug(TAP, 5000)
    make().one_round()

    assert lines()[-1] == f"of 2 sensors {KEG} is reported; [Thermometer] sensor names another"


# --- the spool -------------------------------------------------------------------------------------------------


def test_readings_that_the_spool_cannot_take_are_counted_and_told_once(
    make: Make, plug: Plug, outbox: Outbox, lines: Callable[[], list[str]]
) -> None:
    plug(KEG, 3875)
    thermometer = make()
    thermometer.one_round()
    lines()
    outbox.all()

    outbox.full = True
    for _ in range(4):
        thermometer.one_round()

    assert thermometer.not_taken == 4
    assert thermometer.problem == "less than 5 % of the disk is free: make room"
    assert lines() == ["temperatures are not taken for now: less than 5 % of the disk is free: make room"]
    assert outbox.all() == [Heartbeat(NOW_MS)] * 4

    outbox.full = False
    thermometer.one_round()
    assert lines() == ["temperatures are taken again; 4 were not"]
    assert thermometer.problem is None
    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]


# --- the clock -------------------------------------------------------------------------------------------------


def test_no_reading_gets_a_time_from_1970(
    make: Make, plug: Plug, outbox: Outbox, clock: FakeClock, lines: Callable[[], list[str]]
) -> None:
    plug(KEG, 3875)
    clock.now_ms = 5_000
    thermometer = make(interval_s=600.0)

    assert [thermometer.one_round() for _ in range(3)] == [60.0] * 3
    assert outbox.all() == []
    assert thermometer.latest() == {}
    assert (thermometer.problem or "").startswith("this machine's clock stands before ")
    assert [line for line in lines() if "clock" in line] == [
        f"temperatures wait for the clock, pours go on: {thermometer.problem}"
    ]

    clock.now_ms = NOW_MS
    assert thermometer.one_round() == 600.0
    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]
    assert lines() == ["the clock is right now, temperatures go on"]
    assert thermometer.problem is None


def test_a_clock_hours_behind_after_a_boot_stamps_nothing_until_it_is_set(
    make: Make, plug: Plug, outbox: Outbox, clock: FakeClock
) -> None:
    plug(KEG, 3875)
    clock.since_boot_s = 20.0
    thermometer = make(interval_s=30.0)

    assert thermometer.one_round() == 30.0
    assert outbox.all() == []

    clock.since_boot_s = 300.0
    thermometer.one_round()
    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]


def test_no_sign_of_life_gets_a_false_time_either(make: Make, outbox: Outbox, clock: FakeClock) -> None:
    clock.now_ms = 5_000
    make().one_round()

    assert outbox.all() == []


def test_a_reading_is_stamped_with_the_clock_that_was_set_while_it_was_read(
    make: Make, clock: FakeClock, outbox: Outbox
) -> None:
    def read(_: Path) -> BusReading:
        clock.now_ms = NOW_MS
        return BusReading({KEG: 3875})

    clock.now_ms = 5_000
    make(read=read).one_round()

    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]


# --- a bus that hangs ------------------------------------------------------------------------------------------


def test_a_read_that_hangs_is_told_once_and_costs_one_thread(
    make: Make,
    plug: Plug,
    hang: Callable[[str], Callable[[], None]],
    outbox: Outbox,
    lines: Callable[[], list[str]],
    bus: Path,
) -> None:
    plug(KEG, 3875)
    thermometer = make(timeout_s=2.0)
    thermometer.one_round()
    lines()
    outbox.all()

    release = hang(TAP)
    threads = threading.active_count()
    for _ in range(20):
        thermometer.one_round()

    assert threading.active_count() == threads + 1
    assert outbox.all() == [Heartbeat(NOW_MS)] * 20
    [line] = lines()
    assert line.startswith(f"no temperatures, pours go on: the 1-Wire bus at {bus} does not answer: ")
    assert thermometer.latest() == {KEG: Reading(KEG, 3875, NOW_MS)}

    release()
    shutil.rmtree(bus / TAP)
    thermometer.one_round()
    assert lines() == ["the 1-Wire bus answers again"]
    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]
    assert threading.active_count() == threads


def test_a_late_answer_is_not_taken_for_the_next_round_s(make: Make, outbox: Outbox) -> None:
    go_on = threading.Event()
    answers = iter([BusReading({KEG: 1000}), BusReading({KEG: 2000})])

    def read(_: Path) -> BusReading:
        answer = next(answers)
        go_on.wait(10)
        return answer

    thermometer = make(read=read, timeout_s=0.5)
    thermometer.one_round()
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "thermometer-read":
            thread.join(10)
    thermometer.one_round()

    assert outbox.all() == [Heartbeat(NOW_MS), Reading(KEG, 2000, NOW_MS)]


def test_whatever_the_library_raises_the_rounds_go_on(
    make: Make, outbox: Outbox, lines: Callable[[], list[str]]
) -> None:
    def read(_: Path) -> BusReading:
        raise ZeroDivisionError("who would have thought")

    thermometer = make(read=read)
    thermometer.one_round()
    thermometer.one_round()

    assert outbox.all() == [Heartbeat(NOW_MS)] * 2
    assert lines() == [
        "no temperatures, pours go on: reading the 1-Wire bus failed: ZeroDivisionError('who would have thought')"
    ]


# --- the thread ------------------------------------------------------------------------------------------------


def test_the_first_round_is_at_once_and_the_others_follow_the_timer(make: Make, plug: Plug, outbox: Outbox) -> None:
    plug(KEG, 3875)
    make(interval_s=0.01).start()

    assert [outbox.next() for _ in range(3)] == [Reading(KEG, 3875, NOW_MS)] * 3


def test_the_timer_runs_on_while_the_wall_clock_jumps_by_a_year_either_way(
    make: Make, plug: Plug, outbox: Outbox, clock: FakeClock
) -> None:
    plug(KEG, 3875)
    year_ms = 365 * 86_400_000
    clock.now_ms += year_ms
    make(interval_s=0.01).start()
    outbox.next()
    clock.now_ms += year_ms
    while outbox.next() != Reading(KEG, 3875, NOW_MS + 2 * year_ms):
        pass
    clock.now_ms -= year_ms
    while outbox.next() != Reading(KEG, 3875, NOW_MS + year_ms):
        pass


def test_stop_ends_the_thread_between_two_rounds(make: Make, outbox: Outbox) -> None:
    thermometer = make(interval_s=3600.0)
    thermometer.start()
    outbox.next()
    thermometer.stop()
    thermometer.join(2)

    assert not thermometer.is_alive()


def test_stop_does_not_wait_for_a_read_that_hangs(
    make: Make, hang: Callable[[str], Callable[[], None]], outbox: Outbox
) -> None:
    hang(KEG)
    reading = threading.Event()

    def read(directory: Path) -> BusReading:
        reading.set()
        return read_bus(directory)

    thermometer = make(read=read)
    thermometer.start()
    assert reading.wait(10)
    thermometer.stop()
    thermometer.join(2)

    assert not thermometer.is_alive()
    assert outbox.all() == []


def test_a_thermometer_that_was_stopped_before_its_start_reads_nothing(make: Make, outbox: Outbox) -> None:
    def read(_: Path) -> BusReading:
        pytest.fail("it read")

    thermometer = make(read=read)
    thermometer.stop()
    assert thermometer.one_round() == 0.0
    thermometer.start()
    thermometer.join(2)

    assert not thermometer.is_alive()
    assert outbox.all() == []


def test_a_program_with_a_read_that_hangs_can_end(bus: Path, hang: Callable[[str], Callable[[], None]]) -> None:
    hang(KEG)
    program = (
        "import pathlib\n"
        "from kegnet_client.clock import Clock\n"
        "from kegnet_client.producers.bus import BusReader\n"
        "from kegnet_client.producers.thermometer import Thermometer\n"
        f"bus = BusReader(pathlib.Path({str(bus)!r}), timeout_s=0.2)\n"
        "Thermometer(bus=bus, interval_s=60, sensor=None, all_sensors=False,\n"
        "    enqueue=print, heartbeat=print, changed=int, clock=Clock()).one_round()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert done.stderr.startswith("no temperatures, pours go on: ")


def test_whoever_shows_the_problem_hears_of_each_change_and_of_nothing_else(make: Make, plug: Plug) -> None:
    seen: list[str | None] = []
    thermometer: Thermometer = make(changed=lambda: seen.append(thermometer.problem))
    thermometer.one_round()
    thermometer.one_round()
    plug(KEG, 3875)
    thermometer.one_round()
    thermometer.one_round()

    assert len(seen) == 2
    assert seen[0] is not None
    assert seen[1] is None


def test_a_reload_while_the_bus_hangs_starts_no_second_read(
    make: Make, plug: Plug, hang: Callable[[str], Callable[[], None]], bus: Path
) -> None:
    release = hang(KEG)
    reader = BusReader(bus, timeout_s=0.2)
    make(bus=reader).one_round()
    threads = threading.active_count()
    make(bus=reader).one_round()
    assert threading.active_count() == threads
    release()


def test_a_reload_in_the_middle_of_a_read_waits_for_it_and_reads_again(make: Make, outbox: Outbox) -> None:
    begun, go_on = threading.Event(), threading.Event()
    answers = iter([BusReading({KEG: 1000}), BusReading({KEG: 2000})])

    def read(_: Path) -> BusReading:
        answer = next(answers)
        begun.set()
        go_on.wait(10)
        return answer

    reader = BusReader(Path(), read)
    old, new = make(bus=reader), make(bus=reader)
    old.start()
    begun.wait(10)
    old.stop()
    old.join(10)
    new.start()
    go_on.set()
    assert outbox.queue.get(timeout=10) == Reading(KEG, 2000, NOW_MS)


def test_a_fault_of_our_own_costs_one_round(
    make: Make, plug: Plug, outbox: Outbox, lines: Callable[[], list[str]]
) -> None:
    plug(KEG, 3875)
    faults = iter([RuntimeError("can't start new thread")])

    def enqueue(reading: Reading) -> None:
        for fault in faults:
            raise fault
        outbox.enqueue(reading)

    thermometer = make(interval_s=0.01, enqueue=enqueue)
    thermometer.start()
    assert outbox.queue.get(timeout=10) == Reading(KEG, 3875, NOW_MS)
    assert any("please report it" in line for line in lines())
