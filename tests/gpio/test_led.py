"""``kegnet-client led`` on a line of the real GPIO character device, and on an LED of the kernel's LED class."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from kegnet_client.host.state_file import StateFile

from ..support.device import Device
from ..support.waits import wait_until
from .conftest import WAIT_S
from .tap import CHIP

pytestmark = pytest.mark.slow

OFF = "is off: kegnet-client does not run"
SLOW = "blinking slowly: records wait"
ULEDS = struct.Struct("=64si")
"""What makes an LED of who writes it to /dev/uleds: its name, and its greatest brightness."""


@pytest.fixture
def kernel_led() -> Iterator[int]:
    """The LED "kegnet::test" in /sys/class/leds; who reads from it gets its brightness each time it is another."""
    fd = os.open("/dev/uleds", os.O_RDWR | os.O_NONBLOCK)
    os.write(fd, ULEDS.pack(b"kegnet::test", 200))
    yield fd
    os.close(fd)


def add(device: Device, *lines: str) -> None:
    file = device.root / "conf" / "client.conf"
    file.write_text(file.read_text().replace("[Led]\n", "\n".join(["[Led]", *lines, ""])))


def records_wait(device: Device) -> None:
    """Say so in the place of the process that delivers."""
    StateFile(device.root).write({"link": "waiting"})


def level(line: int) -> str:
    device, bank = ((CHIP / name).read_text().strip() for name in ("dev_name", "bank0/chip_name"))
    return Path(f"/sys/devices/platform/{device}/{bank}/sim_gpio{line}/value").read_text().strip()


def test_a_line_of_the_chip_blinks_while_records_wait_and_is_low_afterwards(device: Device) -> None:
    add(device, "line = GPIO27")
    records_wait(device)
    led = device.start("led")
    led.log.wait_for(SLOW, timeout_s=WAIT_S)
    for _ in range(2):
        wait_until(lambda: level(27) == "1", "it stays dark", WAIT_S)
        wait_until(lambda: level(27) == "0", "it stays lit", WAIT_S)
    led.process.terminate()
    assert led.process.wait(WAIT_S) == 0
    assert level(27) == "0"


def test_an_led_of_the_kernel_has_its_full_brightness_and_none_in_turn(device: Device, kernel_led: int) -> None:
    add(device, "name = kegnet::test")
    led = device.start("led")
    wait_until(lambda: "led          kegnet::test " + OFF in device.command("status").stdout, "it is not off", WAIT_S)
    records_wait(device)
    led.log.wait_for(SLOW, timeout_s=WAIT_S)
    for _ in range(2):
        wait_until(lambda: read(kernel_led) == 200, "it stays dark", WAIT_S)
        wait_until(lambda: read(kernel_led) == 0, "it stays lit", WAIT_S)
    assert Path("/sys/class/leds/kegnet::test/trigger").read_text().startswith("[none]")


def read(fd: int) -> int | None:
    try:
        (brightness,) = struct.unpack("=i", os.read(fd, 4))
    except BlockingIOError:
        return None
    return int(brightness)
