"""``kegnet-client kegboard-simulate``: a Kegboard for people without one, on a pseudo terminal."""

import argparse
import math
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError
from kegnet_client.core.records import is_sensor
from kegnet_client.demo.kegboard_pty import KegboardPty
from kegnet_client.demo.simulated_kegboard import SimulatedBoard
from kegnet_client.host.stdout import tell

PINT_PULSES = 1250
"""With a meter of 2,200 pulses a litre."""
PINT_HZ = 150.0
MAX_METERS = 6
MAX_WAIT_S = 86_400.0

HELP = """\
It reads commands, one a line:
  pour [METER [PULSES [HZ]]]    let something flow (flow0, a pint in eight seconds)
  temperature SENSOR CELSIUS    a thermometer reads this from now on
  token DEVICE HEX [away]       an iButton or card comes, or goes
  noise [BYTES]                 send what is no frame
  reset                         begin anew: totals are 0
  unplug, plug                  pull the cable out, put it in again
  wait SECONDS                  before the next command
  quit
After the last command it stays there until it is ended."""


def add_arguments(parser: Parser) -> None:
    """Add what ``kegboard-simulate`` takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = HELP
    parser.add_argument("--link", type=Path, metavar="PATH", help="make this a link to the board's device")
    parser.add_argument("--serial-number", default="KB-0000-0000-00005117", metavar="TEXT", help="the board's own")
    parser.add_argument("--meters", type=int, default=2, metavar="N", help=f"1 to {MAX_METERS} (default: 2)")


def handle(options: argparse.Namespace) -> int:
    """Be a board until told to quit."""
    if not 1 <= options.meters <= MAX_METERS:
        raise UsageError(f"--meters {options.meters}: a board has 1 to {MAX_METERS} of them")
    board = SimulatedBoard(time.monotonic(), serial_number=options.serial_number, meters=options.meters)
    try:
        simulated = KegboardPty(board, options.link)
    except OSError as error:
        raise UsageError(f"--link {options.link}: {error.strerror}") from None
    # So that the link goes, too.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    try:
        tell(f"a Kegboard is at {options.link or simulated.path}; help tells what it can do")
        for line in sys.stdin:
            words = line.split()
            if words[:1] == ["quit"]:
                return 0
            try:
                _obey(simulated, options.meters, words)
            except UsageError as error:
                tell(f"{line.strip()}: {error}")
        threading.Event().wait()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends already, and the link goes first
        simulated.close()
    return 0


def _obey(simulated: KegboardPty, meters: int, words: Sequence[str]) -> None:
    match words:
        case [] | ["help"]:
            tell(HELP)
        case ["pour", *rest] if len(rest) <= 3:
            meter, pulses, hz = (*rest, *("flow0", str(PINT_PULSES), str(PINT_HZ))[len(rest) :])
            names = [f"flow{number}" for number in range(meters)]
            if meter not in names:
                raise UsageError(f"its meters are {', '.join(names)}")
            simulated.pour(names.index(meter), _whole(pulses, 1, 2**32 - 1), _number(hz, 0.001, 1e6))
        case ["temperature", sensor, celsius]:
            if not is_sensor(sensor):
                raise UsageError("write the sensor as the kernel does, such as 28-0316a2795c5b")
            simulated.set_temperature(sensor, round(_number(celsius, -2000, 2000) * 1000))
        case ["token", device, token, *rest] if rest in ([], ["away"]):
            try:
                simulated.show_token(device, bytes.fromhex(token)[::-1], is_there=not rest)
            except ValueError:
                raise UsageError("write the token in hexadecimal digits") from None
        case ["noise", *rest] if len(rest) <= 1:
            simulated.noise(_whole(rest[0], 0, 4096) if rest else 40)
        case ["reset"]:
            simulated.reset()
        case ["unplug"]:
            simulated.unplug()
        case ["plug"]:
            simulated.plug()
        case ["wait", seconds]:
            time.sleep(_number(seconds, 0, MAX_WAIT_S))
        case _:
            raise UsageError("no command; help tells what there is")


def _whole(text: str, low: int, high: int) -> int:
    try:
        return int(_number(str(int(text)), low, high))
    except ValueError:
        raise UsageError(f"{text[:40]!a} is not a whole number from {low} to {high}") from None


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise UsageError(f"{text[:40]!a} is not a number from {low:g} to {high:g}")
    return value
