"""From the frames of a board to the server's rows: the producer and the daemon as processes, a board on a pty."""

import time
from collections.abc import Iterator
from pathlib import Path
from signal import Signals
from typing import Any

import pytest

from kegnet_client.core.records import Pour, parse
from kegnet_client.demo.kegboard_pty import KegboardPty
from kegnet_client.demo.simulated_kegboard import SimulatedBoard

from ..support.device import Device
from ..support.program import Program
from ..support.server import Server
from ..support.waits import wait_until

KEG = "28-0000009b5966"
SECTION = """
[Kegboard bar]
device = {device}
pin = 4
idle = 1
"""


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "ttyUSB0"


@pytest.fixture
def board(link: Path) -> Iterator[KegboardPty]:
    board = KegboardPty(SimulatedBoard(time.monotonic(), serial_number="KB-0000-0000-0123abcd"), link)
    yield board
    board.close()


@pytest.fixture
def device(device: Device, link: Path) -> Device:
    """One that has a section for the board."""
    add(device, SECTION.format(device=link))
    return device


def add(device: Device, text: str) -> None:
    file = device.root / "conf" / "client.conf"
    file.write_text(file.read_text() + text)


def start(device: Device, *options: str) -> Program:
    program = device.start("kegboard", *options)
    program.log.wait_for("bar: a Kegboard at")
    return program


def waiting_pulses(device: Device) -> int:
    records = [parse(name, (device.spool / name).read_bytes()) for name in device.waiting()]
    return sum(record.pulses for record in records if isinstance(record, Pour))


def meters(device: Device) -> list[dict[str, Any]]:
    (producer,) = device.status()["producers"]
    found: list[dict[str, Any]] = producer.get("meters", [])
    return found


def test_the_first_pour_and_a_temperature_reach_the_server(device: Device, board: KegboardPty, server: Server) -> None:
    board.pour(1, 100, 10_000)  # while nobody listens, which a new board tells with its next pulse
    wait_until(lambda: board.totals[1] == 100, "nothing flows")
    start(device)
    device.run()
    board.set_temperature(KEG, 3875)
    board.pour(1, 600, 500)
    (pour,) = server.wait_for("pour")
    assert (pour.fields["pin"], pour.fields["pulses"]) == ("5", "700")
    assert 1000 <= int(pour.fields["et"]) <= 2500
    assert abs(int(pour.fields["ts"]) - time.time() * 1000) < 30_000
    assert any(call.fields["temp"] == "3875" for call in server.wait_for("ping", 1))


@pytest.mark.case(100)
def test_a_board_is_unplugged_and_plugged_in_while_something_flows(device: Device, board: KegboardPty) -> None:
    program = start(device)
    board.pour(0, 500, 1000)
    wait_until(lambda: meters(device) and meters(device)[0]["total"] == 500, "it was not counted")
    board.unplug()
    program.log.wait_for("the board was unplugged, or its cable is loose; it is tried again")
    wait_until(lambda: waiting_pulses(device) == 500, "what had flowed is no pour")
    board.plug()
    program.log.wait_for("bar: the board is back")
    board.pour(0, 300, 1000)
    wait_until(lambda: waiting_pulses(device) == 800, "what flows now is no pour")
    assert program.stop()[0] == 0


@pytest.mark.case(100)
def test_a_kill_in_the_middle_of_a_pour_and_a_start_double_and_lose_nothing(device: Device, board: KegboardPty) -> None:
    program = start(device)
    board.pour(0, 1200, 300)
    wait_until(lambda: meters(device) and meters(device)[0]["total"] > 400, "it was not counted")
    program.signal(Signals.SIGKILL)
    program.process.wait()
    wait_until(lambda: board.totals[0] == 1200, "it flows no more")
    program = start(device)
    board.pour(0, 100, 10_000)
    wait_until(lambda: meters(device) and meters(device)[0]["total"] == 1300, lambda: meters(device))
    assert program.stop()[0] == 0  # the board may tell of the last few apart, which are drips until then
    assert waiting_pulses(device) == 1300


def test_one_section_is_run_by_one_process(device: Device, board: KegboardPty) -> None:
    start(device)
    second = device.command("kegboard")
    assert second.returncode == 75
    assert "another process runs kegnet-client kegboard for bar: end that one" in second.stderr


def test_status_and_check_name_the_board_and_what_is_wrong_with_it(device: Device, board: KegboardPty) -> None:
    assert "kegboard     bar does not run: its service starts when" in device.command("status").stdout
    start(device)
    assert f"kegboard     bar at {device.root.parent / 'ttyUSB0'}, version 18" in device.command("status").stdout
    assert "ok    kegboard       bar at" in device.command("check").stdout
    board.unplug()
    wait_until(lambda: "look at      kegboard bar: " in device.command("status").stdout, "it is not said")
    assert "FAIL  kegboard       bar: " in device.command("check").stdout


def test_a_board_that_no_section_is_for_is_left_alone(device: Device, board: KegboardPty, tmp_path: Path) -> None:
    other = KegboardPty(SimulatedBoard(time.monotonic()), tmp_path / "ttyUSB1")
    ended = device.command("kegboard", "--device", tmp_path / "ttyUSB1")
    other.close()
    assert (ended.returncode, "no section [Kegboard] is for" in ended.stderr) == (0, True)


def test_a_section_without_a_device_is_for_what_says_hello(
    device: Device, board: KegboardPty, link: Path, tmp_path: Path
) -> None:
    device.configure()
    add(device, "\n[Kegboard bar]\n")
    program = device.start("kegboard", "--device", link, "--verbose")
    program.log.wait_for("bar: a Kegboard at")
    program.log.wait_for("bar: <HelloMessage: firmware_version=18")


@pytest.mark.parametrize(
    ("sections", "arguments", "why"),
    [
        ("", [], "there is no section [Kegboard NAME]: write one"),
        ("[Kegboard bar]\n", ["cellar"], "there is no section [Kegboard cellar]: write one"),
        ("[Kegboard a]\n[Kegboard b]\npin = 6\n", [], "[Kegboard a] and [Kegboard b] name no device"),
        ("[Kegboard a]\n[Kegboard b]\ndevice = x\n", [], "[Kegboard b] pin: 0 is the first one of [Kegboard a], too"),
        (
            "[Kegboard a]\ndevice = x\n[Kegboard b]\ndevice = x\npin = 6\n",
            [],
            "[Kegboard b] device: it is that of [Kegboard a], too",
        ),
        ("[Kegboard a]\n[Kegboard A]\n", [], "[Kegboard a]: begins twice"),
        ("[Kegboard a]\nidle = 0\n", [], "idle: '0': is not a number that can be here; write a whole number from 1"),
    ],
)
def test_boards_that_cannot_be_told_apart_are_a_fault_of_the_configuration(
    device: Device, sections: str, arguments: list[str], why: str
) -> None:
    device.configure()
    add(device, f"\n{sections}")
    ended = device.command("kegboard", *arguments)
    assert (ended.returncode, why in ended.stderr) == (78, True), ended.stderr
