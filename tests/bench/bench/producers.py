"""What the producers cost while beer flows as fast as it can: pulses on GPIO lines, frames on a Kegboard's line.

A pipe stands for each GPIO line and a pseudo terminal for the serial port, so that the kernel's own work at an
interrupt is not in the figures; what the program does with what it is handed is.
"""

import os
import pty
import struct
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kegnet_client.core.wire.kegboard import encode
from kegnet_client.core.wire.kegboard_messages import HelloMessage, MeterStatusMessage

from .contestants import Program
from .process import NoFigureError, Process
from .results import Aim, Row
from .run import Run
from .stage import Device

LINES = (17, 22, 23, 24)
HERTZ = 700
BYTES_PER_S = 11_520
"""115,200 baud: ten bits a byte."""
TICK_S = 0.01
"""How often pulses are given: as fine as a tap needs, and no load of its own."""
START_S = 2.0
"""What a start takes is no part of a figure."""
PATIENCE_S = 30.0
_EDGE = struct.Struct("=QI")
_STAND_IN = Path(__file__).parents[2] / "support" / "gpio"


def flow_meters(run: Run) -> None:
    """Four meters at 700 Hz each, on lines that are pipes."""
    seconds = 5 if run.settings.quick else 30
    title = f"flow-meter: {HERTZ} Hz on {len(LINES)} lines, over {seconds} s"
    row = Row("flow-meter-cpu", title, "% of a core", Aim(5, at_least=False))
    missing = Row("flow-meter-missing", "flow-meter: pulses that were not counted then", "", Aim(0, at_least=False))
    run.results.expect(row, missing)
    program = Program(run.settings.program)
    for one in run.in_turn("flow meters", [program]):
        with run.measuring(title, one.column), run.device("v2") as device:
            chip = device.root / "gpio" / "gpiochip0"
            chip.mkdir(parents=True)
            for line in LINES:
                os.mkfifo(chip / str(line))
            _configure(device, *(f"[FlowMeter tap{line}]\nline = {line}\npin = {line}\nidle = 0.5" for line in LINES))
            variables = {"STAND_IN_GPIO": str(chip.parent), "PYTHONPATH": str(_STAND_IN)}
            with _started(run, device, "flow-meter", variables) as process:
                pipes = [os.open(chip / str(line), os.O_RDWR) for line in LINES]
                cpu_share, given = _feed(process, seconds, _Pulses(pipes).give)
                for pipe in pipes:
                    os.close(pipe)
            run.results.add(row, one.column, 100 * cpu_share)
            run.results.add(missing, one.column, given - _recorded(device))


def kegboard(run: Run) -> None:
    """A line that is never silent: 115,200 baud of totals."""
    seconds = 5 if run.settings.quick else 30
    title = f"kegboard: 115,200 baud of frames, over {seconds} s"
    row = Row("kegboard-cpu", title, "% of a core", Aim(3, at_least=False))
    missing = Row("kegboard-missing", "kegboard: pulses that were not counted then", "", Aim(0, at_least=False))
    run.results.expect(row, missing)
    program = Program(run.settings.program)
    for one in run.in_turn("kegboard", [program]):
        with run.measuring(title, one.column), run.device("v2") as device:
            ours, theirs = pty.openpty()
            tty.setraw(theirs)
            _configure(device, f"[Kegboard bar]\ndevice = {os.ttyname(theirs)}\nidle = 60")
            with _started(run, device, "kegboard", {}) as process:
                _say_hello(ours, device, process)
                frames = _Frames(ours)
                time.sleep(1)  # of totals that are read at one time the last is what is counted from
                cpu_share, given = _feed(process, seconds, frames.give)
            os.close(theirs)
            os.close(ours)
            run.results.add(row, one.column, 100 * cpu_share)
            run.results.add(missing, one.column, given - _recorded(device))


class _Pulses:
    """Meters that turn; ``give`` is called with the seconds since the start, and says how many pulses came by then."""

    def __init__(self, pipes: list[int]) -> None:
        self._pipes = pipes
        self._given = 0

    def give(self, passed_s: float) -> int:
        due, now_ns = int(passed_s * HERTZ), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        numbers = range(self._given + 1, due + 1)
        edges = b"".join(_EDGE.pack(now_ns - (due - number) * 10**9 // HERTZ, number) for number in numbers)
        for pipe in self._pipes if edges else ():
            os.write(pipe, edges)
        self._given = due
        return due * len(self._pipes)


class _Frames:
    """A board whose line is full; ``give`` as of `_Pulses`. Its meter's first total is what others count from."""

    def __init__(self, line: int) -> None:
        self._line = line
        self._total = 0
        self._sent_bytes = self._send(encode(MeterStatusMessage("flow0", 0)))

    def give(self, passed_s: float) -> int:
        frames = b""
        while self._sent_bytes + len(frames) < passed_s * BYTES_PER_S:
            self._total += 1
            frames += encode(MeterStatusMessage("flow0", self._total))
        self._sent_bytes += self._send(frames)
        return self._total

    def _send(self, data: bytes) -> int:
        return os.write(self._line, data) if data else 0


def _say_hello(line: int, device: Device, process: Process) -> None:
    """Until it is heard: what is said before the line is opened is lost."""
    give_up_s = time.monotonic() + PATIENCE_S
    while "a Kegboard at" not in (device.root / "log").read_text():
        process.check()
        if time.monotonic() > give_up_s:
            raise NoFigureError("the board is not heard")
        os.write(line, encode(HelloMessage(18)))
        time.sleep(0.2)


def _configure(device: Device, *sections: str) -> None:
    file = device.root / "conf" / "client.conf"
    file.write_text("\n\n".join([file.read_text(), *sections]) + "\n")


@contextmanager
def _started(run: Run, device: Device, command: str, variables: dict[str, str]) -> Iterator[Process]:
    argv: list[str | Path] = [run.settings.program, "--root", device.root, command]
    with Process(argv, device.root / "log", {"KEGNET_ROOT": str(device.root), **variables}) as process:
        time.sleep(START_S)
        process.check()
        yield process


def _feed(process: Process, seconds: float, give: Callable[[float], int]) -> tuple[float, int]:
    """The share of a core that ``process`` took meanwhile, and how many pulses it was given; then it is ended."""
    started_s, cpu_s = time.monotonic(), process.cpu_s()
    while (passed_s := time.monotonic() - started_s) < seconds:
        given = give(passed_s)
        time.sleep(TICK_S)
    process.check()
    share = (process.cpu_s() - cpu_s) / (time.monotonic() - started_s)
    time.sleep(0.5)  # what is in the pipes is on its way
    process.stop()
    return share, given


def _recorded(device: Device) -> int:
    """The pulses of all pours in the spool."""
    lines = [path.read_text() for path in device.spool.glob("*.pour")]
    if not lines:
        raise NoFigureError("nothing was recorded")
    return sum(int(line.split(",")[1]) for line in lines)
