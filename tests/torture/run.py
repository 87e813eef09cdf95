"""The torture rig: no record may be lost, doubled or damaged, whatever happens to the program.

    python tests/torture/run.py --minutes 20 --seed 1       all parts, which share the minutes
    python tests/torture/run.py --minutes 5 --only crash    one of them
    python tests/torture/run.py --replay FILE               what a violation printed

It ends with 0 when all is well, and with 1 at the first violation, whose directory and schedule are kept.
The parts make their own servers, certificates and directories, and talk to nothing but this machine.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

# The modules beside this one, for a Python too that leaves the script's own directory out (PYTHONSAFEPATH).
sys.path.insert(0, str(Path(__file__).parent))
# What the tests share; last, so that the program is the installed one.
sys.path.append(str(Path(__file__).parents[2]))

import crash
import fuzz
import hub_kills
import model
import powercut
import sinks
import soak
from authority import Authority
from bench import Bench, ViolationError, versions

PARTS: dict[str, tuple[ModuleType, float]] = {
    "model": (model, 1.0),
    "crash": (crash, 1.5),
    "powercut": (powercut, 0.3),
    "fuzz": (fuzz, 1.5),
    "hub": (hub_kills, 0.7),
    "sinks": (sinks, 0.7),
    "soak": (soak, 2.0),
}
"""Each part and its share of the minutes."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--replay", type=Path, metavar="FILE")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="kegnet-torture-"))
    if options.replay:
        failed = json.loads(options.replay.read_text())
        return _try([failed["part"]], failed["seed"], 0.0, directory, failed["case"])
    return _try(options.only or list(PARTS), options.seed, options.minutes, directory, None)


def _try(names: list[str], seed: int, minutes: float, directory: Path, case: dict[str, object] | None) -> int:
    shares = sum(PARTS[name][1] for name in names)
    _say(f"seed {seed}, {minutes:g} minutes, REST {' and '.join(versions())}, in {directory}")
    authority = Authority(directory)
    for name in names:
        part, share = PARTS[name]
        bench = Bench(directory, authority, seed, lambda text, name=name: _say(f"{name}: {text}"))  # type: ignore[misc]  # mypy knows no default of a lambda
        try:
            if case is None:
                part.run(bench, minutes * 60 * share / shares)
            else:
                part.replay(bench, case)
        except ViolationError as error:
            _say(f"{name}: VIOLATION: {error}")
            file = directory / f"failing-{name}.json"
            file.write_text(
                json.dumps({"part": name, "seed": seed, "violation": str(error), "case": error.case}, indent=1)
            )
            _say(f"kept: {directory}; replay: {sys.executable} {__file__} --replay {file}")
            return 1
    _say("no violation")
    shutil.rmtree(directory)
    return 0


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
