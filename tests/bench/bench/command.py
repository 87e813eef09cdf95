"""The command line: which measurements, of which program, and where the results go."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from .drains import backlog, drain_v2, drain_v3, far_v2, far_v3
from .figures import readable
from .hub import ingest
from .hub_api import api
from .moments import first_delivery, fresh, idle, latency
from .run import Run, Settings
from .small import small
from .table import table

MEASUREMENTS = {
    "drain-v2": drain_v2,
    "drain-v3": drain_v3,
    "far-v2": far_v2,
    "far-v3": far_v3,
    "latency": latency,
    "start": first_delivery,
    "idle": idle,
    "backlog": backlog,
    "fresh": fresh,
    "small": small,
    "hub": ingest,
    "hub-api": api,
}


def main() -> int:
    """Measure and tell; the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, _stop)
    settings = Settings(options.program, options.quick, options.rounds or (2 if options.quick else 5))
    run = Run(settings)
    try:
        for name in options.only or MEASUREMENTS:
            MEASUREMENTS[name](run)
    except KeyboardInterrupt:
        return 130
    finally:
        run.tell("")
        run.close()
    print(table(run.results))
    for what, most in run.results.maxima.items():
        print(f"{what}: {readable(most)} at most")
    for note in run.results.notes:
        print(note)
    return 0


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller counts: under two minutes")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="this one, may be repeated")
    parser.add_argument("--rounds", type=int, help="how often each is measured (default: 5, or 2 with --quick)")
    parser.add_argument(
        "--program",
        type=Path,
        default=Path(sys.executable).with_name("kegnet-client"),
        metavar="PATH",
        help="the kegnet-client to measure (default: %(default)s)",
    )
    return parser.parse_args()
