"""``kegnet-client led`` as a process: an LED of the kernel's or on a GPIO line, beside the process that delivers."""

import os
from pathlib import Path
from signal import Signals

import pytest

from ..support.device import Device
from ..support.gpio_chip import GpioChip
from ..support.server import Server
from ..support.waits import wait_until

ON = "on: the server takes records"


@pytest.fixture
def leds(tmp_path: Path) -> Path:
    """What /sys/class/leds is on a Raspberry Pi."""
    act = tmp_path / "leds" / "ACT"
    act.mkdir(parents=True)
    (act / "trigger").write_text("none [mmc0] timer\n")
    (act / "max_brightness").write_text("255\n")
    (act / "brightness").write_text("0\n")
    return act.parent


def add(device: Device, *lines: str) -> None:
    file = device.root / "conf" / "client.conf"
    file.write_text(file.read_text().replace("[Led]\n", "\n".join(["[Led]", *lines, ""])))


def brightness(leds: Path) -> str:
    return (leds / "ACT" / "brightness").read_text().split("\n")[0]


def test_it_is_on_while_the_server_takes_records_and_off_when_nothing_delivers(
    device: Device, server: Server, leds: Path
) -> None:
    add(device, "name = ACT", f"directory = {leds}")
    assert "led          ACT does not run: sudo systemctl start kegnet-led" in device.command("status").stdout
    led = device.start("led")
    wait_until((leds / "ACT" / "brightness").read_text, "nothing is written")
    assert (brightness(leds), (leds / "ACT" / "trigger").read_text()[:4]) == ("0", "none")
    delivering = device.run()
    device.drop()
    server.wait_for("pour")
    led.log.wait_for(f"the LED ACT is {ON}")
    wait_until(lambda: brightness(leds) == "255", "it is not lit")
    assert f"led          ACT is {ON}" in device.command("status").stdout
    assert "ok    led            ACT is on" in device.command("check").stdout

    delivering.signal(Signals.SIGKILL)
    delivering.process.wait()
    led.log.wait_for("the LED ACT is off: kegnet-client does not run")
    wait_until(lambda: brightness(leds) == "0", "it is still lit")
    assert led.stop()[0] == 0


@pytest.mark.parametrize(
    ("status", "shows"), [(503, "blinking slowly: records wait"), (403, "blinking fast: something needs fixing")]
)
def test_on_a_gpio_line_it_blinks_while_records_wait_or_something_is_to_be_mended(
    device: Device, server: Server, tmp_path: Path, status: int, shows: str
) -> None:
    chip = GpioChip(tmp_path / "gpio", 27)
    add(device, "line = 27")
    server.answer = lambda _: status
    device.run()
    device.drop()
    led = device.start("led", variables=chip.variables)
    led.log.wait_for(f"the LED 27 is {shows}")
    for _ in range(2):
        wait_until(lambda: chip.is_lit(27), "it stays dark")
        wait_until(lambda: not chip.is_lit(27), "it stays lit")
    assert led.stop()[0] == 0
    assert not chip.is_lit(27)


@pytest.mark.case(145)
@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["name = DCT", "directory = {leds}"], "has no LED DCT: ls {leds} shows those that there are"),
        (["line = 5"], "/dev/gpiochip0 has no line 5: write a number below 54, or a name that gpioinfo shows"),
        (["line = 27"], "line 27 of /dev/gpiochip0 is in use by 'fan': end that, or write another line"),
    ],
)
def test_one_that_cannot_be_switched_is_one_line_and_is_tried_again(
    device: Device, leds: Path, tmp_path: Path, lines: list[str], why: str
) -> None:
    chip = GpioChip(tmp_path / "gpio", 27)
    chip.hold(27, "fan")
    add(device, *(line.format(leds=leds) for line in lines))
    led = device.start("led", variables=chip.variables)
    led.log.wait_for("shows nothing: ")
    assert [why.format(leds=leds) in line for line in led.log.lines("shows nothing: ")] == [True]
    wait_until(lambda: "look at      led " in device.command("status").stdout, "status does not say it")
    assert "FAIL  led " in device.command("check").stdout
    assert led.stop()[0] == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may switch everything")
def test_one_that_is_not_this_user_s_says_what_to_do(device: Device, leds: Path) -> None:
    (leds / "ACT" / "trigger").chmod(0o444)
    add(device, "name = ACT", f"directory = {leds}")
    led = device.start("led")
    led.log.wait_for("may not be switched by this user: put it into the group gpio")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "[Led] names no LED: write name = one that ls /sys/class/leds shows"),
        (["name = ACT", "line = 27"], "[Led] has a name and a line; an LED is one or the other: delete one of them"),
        (["name = ../x"], "name: '../x': is not the name of an LED; write one that ls /sys/class/leds shows"),
        (["line = GPIO 27"], "line: 'GPIO 27': is not a line; write its number, or its name as gpioinfo shows it"),
    ],
)
def test_a_section_that_names_no_led_is_a_fault_of_the_configuration(
    device: Device, lines: list[str], why: str
) -> None:
    add(device, *lines)
    ended = device.command("led")
    assert (ended.returncode, why in ended.stderr) == (78, True), ended.stderr
