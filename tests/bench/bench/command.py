"""The command line: which measurements, of which program, and where the results go."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from .drains import backlog, drain_v2, drain_v3, far_v2, far_v3, two_sinks
from .hub import ingest
from .hub_api import api
from .hub_readers import readers
from .hub_scale import rest, scale
from .machine import about, headline
from .moments import first_delivery, fresh, idle, latency
from .picture import picture
from .producers import flow_meters, kegboard
from .results import Results
from .run import Run, Settings
from .runner import runner
from .screen import screen
from .small import small
from .table import comparison, table
from .years import viewers, years

ROUNDS = 5
MEASUREMENTS = {
    "drain-v2": drain_v2,
    "drain-v3": drain_v3,
    "far-v2": far_v2,
    "far-v3": far_v3,
    "two-sinks": two_sinks,
    "latency": latency,
    "start": first_delivery,
    "idle": idle,
    "backlog": backlog,
    "fresh": fresh,
    "small": small,
    "flow-meter": flow_meters,
    "kegboard": kegboard,
    "hub": ingest,
    "hub-api": api,
    "hub-readers": readers,
    "hub-scale": scale,
    "hub-rest": rest,
    "screen": screen,
    "runner": runner,
    "years": years,
    "viewers": viewers,
}


def main() -> int:
    """Measure and tell; the exit code."""
    options = _options()
    # Read first: it may be the file that is written at the end.
    before = Results.read(options.compare) if options.compare else None
    signal.signal(signal.SIGTERM, _stop)
    settings = Settings(options.program.absolute(), options.quick, options.rounds or (1 if options.quick else ROUNDS))
    run = Run(settings)
    code = 0
    try:
        run.results.about = about(settings)
        for name in options.only or MEASUREMENTS:
            MEASUREMENTS[name](run)
    except KeyboardInterrupt:
        code = 130  # what was measured by then is shown
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        run.tell("")
        run.close()
    _print(run.results, before)
    run.results.write(options.json)
    if options.svg:
        options.svg.write_text(picture(run.results, headline(run.results.about)))
    return code


def _print(results: Results, before: Results | None) -> None:
    print(headline(results.about), end="\n\n")
    print(table(results), end="\n\n")
    for what, found in results.maxima.items():
        print(f"{what}, at most: {', '.join(f'{value:.2g} ({where})' for where, value in found.items())}")
    for note in results.notes:
        print(note)
    if before is not None:
        print(f"\nThis program, compared with {headline(before.about)}:\n\n{comparison(results, before)}")


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measures kegnet-client beside bare loops (the floor) and beside what others use."
    )
    parser.add_argument("--quick", action="store_true", help="smaller counts: under two minutes")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="this one; may be repeated")
    parser.add_argument("--rounds", type=int, help=f"how often each is measured (default: {ROUNDS}, or 1 with --quick)")
    parser.add_argument(
        "--program",
        type=Path,
        default=Path(sys.executable).with_name("kegnet-client"),
        metavar="PATH",
        help="the kegnet-client to measure (default: %(default)s)",
    )
    parser.add_argument(
        "--json", type=Path, default="bench.json", metavar="FILE", help="every sample (default: %(default)s)"
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw drain against backlog, and latency")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="show the change since this run's JSON")
    return parser.parse_args()
