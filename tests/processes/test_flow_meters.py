"""``kegnet-client flow-meter`` as a process: from pulses to a request at the server, and what is told of it."""

import signal
from pathlib import Path

import pytest

from ..support.device import Device
from ..support.gpio_chip import GpioChip
from ..support.program import Program
from ..support.server import Server
from ..support.waits import wait_until

COUNTS = "counts: "


@pytest.fixture
def chip(tmp_path: Path) -> GpioChip:
    return GpioChip(tmp_path / "gpio", 17, 22)


@pytest.fixture
def meters(device: Device) -> Device:
    """Two taps, whose pours end soon."""
    add(device, "[FlowMeter tap1]\nline = 17\npin = 0\nidle = 0.5", "[FlowMeter tap2]\nline = 22\npin = 3\nidle = 0.5")
    return device


def add(device: Device, *sections: str) -> None:
    file = device.root / "conf" / "client.conf"
    file.write_text("\n\n".join([file.read_text(), *sections]) + "\n")


@pytest.fixture
def counting(meters: Device, chip: GpioChip) -> Program:
    return count(meters, chip)


def count(device: Device, chip: GpioChip, *options: str) -> Program:
    program = device.start("flow-meter", *options, variables=chip.variables)
    program.log.wait_for(COUNTS)
    return program


def test_what_two_meters_count_comes_to_the_server_with_its_pulses_and_times(
    meters: Device, server: Server, chip: GpioChip, counting: Program
) -> None:
    delivering = meters.run()
    chip.turn(17, 271, 270)
    chip.turn(22, 101, 100)
    calls = server.wait_for("pour", count=2)

    by_pin = {call.fields["pin"]: call.fields for call in calls}
    assert (by_pin["0"]["pulses"], by_pin["3"]["pulses"]) == ("271", "101")
    assert abs(int(by_pin["0"]["et"]) - 1000) <= 1
    assert counting.stop()[0] == 0
    assert delivering.stop()[0] == 0


def test_status_and_check_name_each_meter_and_what_is_wrong_with_it(meters: Device, chip: GpioChip) -> None:
    said = meters.command("status").stdout
    assert said.count("its producer does not run: sudo systemctl start kegnet-flow-meter") == 2
    chip.hold(22, "fan")
    count(meters, chip)
    chip.turn(17, 5, 20)
    wait_until(lambda: meters.status()["meters"]["tap1"]["drips"] == 5, "no drips are told")

    said = meters.command("status").stdout
    assert "flow meter   tap1: last pulse at " in said
    assert "0 pours since its start, 5 pulses of drips" in said
    busy = "flow meter tap2: line 22 of /dev/gpiochip0 is in use by 'fan': end that, or write another line"
    assert f"look at      {busy}" in said
    checked = meters.command("check").stdout
    assert "ok    flow meter     tap1: last pulse" in checked
    assert f"FAIL  flow meter     {busy}" in checked


@pytest.mark.case(85)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_pour_that_its_end_interrupts_is_there_after_the_next_start(
    meters: Device, chip: GpioChip, counting: Program, number: signal.Signals
) -> None:
    chip.turn(17, 271, 270)
    partial = meters.spool / ".flow-meter.tap1.partial"
    wait_until(lambda: partial.exists() or meters.waiting(), "nothing is journalled")
    counting.signal(number)
    counting.process.wait(30)
    again = count(meters, chip)
    wait_until(meters.waiting, "no record")
    assert again.stop()[0] == 0

    (name,) = meters.waiting()
    assert (meters.spool / name).read_text().startswith("0,271,1000,")


def test_each_pour_is_logged_with_verbose(meters: Device, chip: GpioChip) -> None:
    program = count(meters, chip, "--verbose")
    chip.turn(17, 271, 270)

    program.log.wait_for("tap1: 271 pulses in 1.0 s")


def test_without_a_meter_it_says_what_to_write(device: Device) -> None:
    done = device.command("flow-meter")

    assert done.returncode == 78
    assert "has no flow meter: take the # from" in done.stderr


def test_two_meters_of_one_pin_are_told_apart_by_nobody(meters: Device) -> None:
    add(meters, "[FlowMeter third]\nline = 23\npin = 3")
    done = meters.command("flow-meter")

    assert done.returncode == 78
    assert "[FlowMeter tap2] and [FlowMeter third] have one pin, 3" in done.stderr


def test_pourds_files_become_sections_that_count(device: Device, chip: GpioChip, tmp_path: Path) -> None:
    (tmp_path / "pourd0.conf").write_text("[pourd]\npour_delay_ms = 1200\nmin_pour_pulses = 160\n")
    (tmp_path / "pourd3.conf").write_text("[pourd]\npour_delay_ms = 0\n")
    done = device.command("flow-meter", "import", tmp_path / "pourd0.conf", tmp_path / "pourd3.conf")
    assert done.returncode == 0, done.stderr
    written = (device.root / "conf" / "client.conf").read_text()

    assert "[FlowMeter tap0]\nline = GPIO17\npin = 0\nidle = 1.2\nminimum = 160\n" in written
    assert "[FlowMeter tap3]\nline = GPIO22\npin = 3\nidle = 1\nminimum = 200\n" in written
    assert list(device.status()["meters"]) == ["tap0", "tap3"]
    again = device.command("flow-meter", "import", tmp_path / "pourd0.conf")
    assert again.returncode == 78
    assert "has a [FlowMeter tap0] already" in again.stderr
    assert (device.root / "conf" / "client.conf").read_text() == written


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("pourd9.conf", "[pourd]\n", "is not called pourd<pin>.conf"),
        ("other.conf", "[pourd]\n", "is not called pourd<pin>.conf"),
        ("pourd0.conf", "pour_delay_ms = 3\n", "is not what pourd reads"),
        ("pourd0.conf", "[pourd]\npour_delay_ms = soon\n", "is not what pourd reads"),
        ("pourd0.conf", None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_file_of_pourds_changes_nothing(
    device: Device, tmp_path: Path, name: str, text: str | None, why: str
) -> None:
    before = (device.root / "conf" / "client.conf").read_text()
    if text is not None:
        (tmp_path / name).write_text(text)
    done = device.command("flow-meter", "import", tmp_path / name)

    assert done.returncode == 78
    assert why in done.stderr
    assert (device.root / "conf" / "client.conf").read_text() == before
