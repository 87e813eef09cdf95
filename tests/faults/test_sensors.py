"""Faults of the thermometer. None of them is a pour's business."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ..support.device import Device
from ..support.waits import wait_until
from ..support.watchdog import WATCHDOG_S, wait_until_fed, watched
from .misbehaving_server import Asked, Server
from .versions import V2_LATER

SENSOR = "28-0316a2795c5b"
GOOD = "72 01 4b 46 7f ff 0e 10 57"
NO_TEMPERATURE = -1


def sign_of_life(asked: Asked) -> bool:
    """Without a temperature in it."""
    return asked.temperatures == [NO_TEMPERATURE] or any(one.get("type") == "heartbeat" for one in asked.records)


@pytest.fixture(autouse=True)
def often(device: Device) -> None:
    """A round a second."""
    device.configure(ping_interval_s="1")


@pytest.mark.case(39)
@V2_LATER
def test_the_bus_is_tried_again_each_interval_with_a_line_a_change_and_pours_do_not_care(
    device: Device, server: Server
) -> None:
    program = device.run()
    program.log.wait_for("no temperatures, pours go on: no 1-Wire bus at")
    server.wait_until(sign_of_life, count=3)
    device.drop(1)
    server.wait_for_rows([1])
    device.bus.mkdir()
    program.log.wait_for("no temperatures, pours go on: no temperature sensor on the 1-Wire bus at")
    device.plug()
    program.log.wait_for(f"sensor {SENSOR} reads: 23.1 °C")
    server.wait_until(lambda asked: 23125 in asked.temperatures, count=2)
    device.drop(2)
    server.wait_for_rows([2])
    shutil.rmtree(device.bus / SENSOR)
    program.log.wait_for("no temperatures, pours go on: no temperature sensor", 2)
    device.plug()
    program.log.wait_for(f"sensor {SENSOR} reads: 23.1 °C", 2)
    shutil.rmtree(device.bus)
    program.log.wait_for("no 1-Wire bus at", 2)
    device.drop(3)
    server.wait_for_rows([3])
    assert program.stop()[0] == 0
    assert len(program.log.lines("no temperatures, pours go on")) == 4
    assert len(program.log.lines(f"sensor {SENSOR} reads")) == 2


def twice(data: str, millidegrees: int, crc: str = "YES") -> str:
    """The two lines of a w1_slave."""
    return f"{data} : crc={data[-2:]} {crc}\n{data} t={millidegrees}\n"


@pytest.mark.case(40, 41)
@V2_LATER
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{GOOD} : crc=57 NO\n{GOOD} t=23125\n", id="CRC NO"),
        pytest.param("", id="empty", marks=pytest.mark.slow),
        pytest.param(f"{GOOD} : crc=57 YES\n", id="one line", marks=pytest.mark.slow),
        pytest.param(twice("00 00 00 00 00 00 00 00 00", 0), id="all zero", marks=pytest.mark.slow),
        pytest.param(twice("50 05 4b 46 7f ff 0c 10 1c", 85000), id="85.0"),
        pytest.param(twice("ff 07 4b 46 7f ff 0c 10 1c", 127937), id="127.9375", marks=pytest.mark.slow),
        pytest.param(twice("21 f9 4b 46 7f ff 0c 10 1c", -109937), id="-109.9375", marks=pytest.mark.slow),
        pytest.param(twice("ff ff ff ff ff ff ff ff ff", -62, "NO"), id="all one", marks=pytest.mark.slow),
        pytest.param("not what the kernel writes\nat all\n", id="garbage", marks=pytest.mark.slow),
        pytest.param(
            f"{GOOD} : crc=57 YES\n72 0",
            id="cut off",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_no_temperature_is_no_reading_and_told_once(device: Device, server: Server, text: str) -> None:
    device.plug().write_text(text)
    program = device.run()
    program.log.wait_for(f"sensor {SENSOR} gives no reading, pours go on: ", timeout_s=10)
    server.wait_until(sign_of_life)
    device.drop(1)
    server.wait_for_rows([1])
    assert any(SENSOR in one for one in device.status()["problems"])
    device.plug()
    server.wait_until(lambda asked: 23125 in asked.temperatures)
    temperatures = {value for asked in server.asked() for value in asked.temperatures}
    assert temperatures - {NO_TEMPERATURE} == {23125}
    assert len(program.log.lines("gives no reading")) == 1


@pytest.mark.case(41)
@V2_LATER
@pytest.mark.parametrize(
    ("data", "millidegrees"),
    [
        ("00 00 4b 46 7f ff 0c 10 1c", 0),
        ("f8 ff 4b 46 7f ff 0c 10 1c", -500),
        ("4f 05 4b 46 7f ff 0c 10 1c", 84937),
        ("90 fc 4b 46 7f ff 0c 10 1c", -55000),
    ],
)
def test_a_temperature_is_one_also_at_exactly_nothing(
    device: Device, server: Server, data: str, millidegrees: int
) -> None:
    device.plug(data, millidegrees=millidegrees)
    device.run()
    server.wait_until(lambda asked: millidegrees in asked.temperatures)


@pytest.fixture
def hanging_sensor(device: Device) -> Iterator[Callable[[], None]]:
    """A sensor whose read never returns; calling it waits until somebody reads."""
    path = device.plug()
    path.unlink()
    os.mkfifo(path)
    writers: list[int] = []

    def opened() -> bool:
        with suppress(OSError):
            writers.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        return bool(writers)

    yield lambda: wait_until(opened, "nobody reads the sensor")
    for writer in writers:
        os.close(writer)


@pytest.mark.case(42)
@V2_LATER
def test_a_read_that_hangs_holds_up_no_pour_and_no_watchdog(
    device: Device, server: Server, hanging_sensor: Callable[[], None]
) -> None:
    with watched(device) as (program, supervisor):
        hanging_sensor()
        hangs_since_s = time.monotonic()
        for pulses in (1, 2, 3):
            device.drop(pulses)
            server.wait_for_rows([pulses])
        while time.monotonic() < hangs_since_s + 3 * WATCHDOG_S:
            supervisor.recv(4096)
        wait_until_fed(supervisor, 3)
    assert program.stop()[0] == 0


@pytest.mark.case(42)
@pytest.mark.slow
def test_a_bus_that_hangs_is_told_and_read_again_once_it_answers(
    device: Device, server: Server, hanging_sensor: Callable[[], None]
) -> None:
    program = device.run()
    hanging_sensor()
    program.log.wait_for("does not answer: unplug its sensors one by one", timeout_s=60)
    device.drop(1)
    server.wait_for_rows([1])
    threads = len(list(Path(f"/proc/{program.pid}/task").iterdir()))
    path = device.bus / SENSOR / "w1_slave"
    path.unlink()
    device.plug()
    device.drop(2)
    server.wait_for_rows([2])
    assert len(list(Path(f"/proc/{program.pid}/task").iterdir())) <= threads
