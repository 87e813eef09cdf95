"""A person without a board has one: what ``kegboard-simulate`` is told to do, ``kegboard-monitor`` prints."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..support.program import COMMAND, Log, Program
from ..support.waits import WAIT_S

Type = Callable[[str], None]


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "ttyUSB0"


@pytest.fixture
def simulated(link: Path) -> Iterator[tuple[Type, Log]]:
    """A simulated board at ``link``: a function that types a line for it, and what it answers."""
    process = subprocess.Popen(
        [COMMAND, "kegboard-simulate", "--link", link], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    )
    assert process.stdin
    assert process.stdout
    log = Log(os.dup(process.stdout.fileno()))
    log.wait_for("a Kegboard is at")
    keyboard = process.stdin

    def type_line(line: str) -> None:
        keyboard.write(line.encode() + b"\n")
        keyboard.flush()

    yield type_line, log
    process.terminate()
    assert process.wait(WAIT_S) == 0
    assert not link.is_symlink()
    process.stdin.close()
    process.stdout.close()
    log.close()


@pytest.fixture
def monitor(link: Path, simulated: tuple[Type, Log]) -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start(*options: str) -> Program:
        started.append(Program([COMMAND, "kegboard-monitor", "--device", link, *options], {}))
        started[-1].log.wait_for(f"listening to {link}")
        return started[-1]

    yield start
    for program in started:
        program.close()


def test_each_message_is_printed_as_the_original_did(
    simulated: tuple[Type, Log], monitor: Callable[..., Program]
) -> None:
    type_line, _ = simulated
    program = monitor()
    program.log.wait_for("<HelloMessage: firmware_version=18 serial_number=KB-0000-0000-00005117 uptime_ms=")
    type_line("pour flow1 300 10000")
    program.log.wait_for("<MeterStatusMessage: meter_name=flow1 meter_reading=300>")
    type_line("temperature 28-0000009b5966 3.875")
    program.log.wait_for("<TemperatureReadingMessage: sensor_name=thermo-7c0000009b596628 sensor_reading=3.875>")
    type_line("token onewire 3df7e6d5c4b3a201")
    program.log.wait_for("<AuthTokenMessage: device=onewire token=01a2b3c4d5e6f73d status=1>")
    type_line("noise 30")
    program.log.wait_for("Packet framing broken")
    program.log.wait_for("Packet framing fixed")
    type_line("reset")
    program.log.wait_for("<HelloMessage:", 2)
    type_line("unplug")
    program.log.wait_for("the board was unplugged, or its cable is loose")
    assert program.process.wait(WAIT_S) == 75
    type_line("plug")
    monitor().log.wait_for("<HelloMessage:")


def test_a_program_gets_an_object_a_line(simulated: tuple[Type, Log], monitor: Callable[..., Program]) -> None:
    type_line, _ = simulated
    program = monitor("--json")
    hello = json.loads(program.log.wait_for("HelloMessage"))
    assert (hello["message"], hello["firmware_version"]) == ("HelloMessage", 18)
    type_line("pour flow0 7 10000")
    assert json.loads(program.log.wait_for("MeterStatusMessage")) == {
        "message": "MeterStatusMessage",
        "meter_name": "flow0",
        "meter_reading": 7,
    }
    type_line("noise 30")
    assert set(json.loads(program.log.wait_for("FramingBroken"))) == {"message", "reason"}


def test_what_is_typed_wrongly_is_told_and_the_board_goes_on(simulated: tuple[Type, Log]) -> None:
    type_line, log = simulated
    for line, answer in {
        "pour flow7": "its meters are flow0, flow1",
        "pour flow0 0": "'0' is not a number from 1 to 4.29497e+09",
        "pour flow0 many": "'many' is not a whole number from 1 to 4294967295",
        "temperature keg 4": "write the sensor as the kernel does",
        "temperature 28-0000009b5966 cold": "'cold' is not a number from -2000 to 2000",
        "token onewire xyz": "write the token in hexadecimal digits",
        "dance": "no command; help tells what there is",
    }.items():
        type_line(line)
        log.wait_for(f"{line}: {answer}")
    type_line("help")
    log.wait_for("pour [METER [PULSES [HZ]]]")
    type_line("wait 0.01")
    type_line("quit")
