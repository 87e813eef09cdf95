"""``make bench``: measure this program beside bare loops and beside what others use; ``--help`` says the rest."""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    # By hand, since PYTHONSAFEPATH may keep a script's own directory out.
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here))
    sys.path.append(str(here.parents[1]))  # for what the tests start, too; last: the program is the installed one
    sys.exit(importlib.import_module("bench.command").main())
