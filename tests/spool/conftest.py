"""The model of a disk is the torture rig's, which is run as a program of its own."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "torture"))
