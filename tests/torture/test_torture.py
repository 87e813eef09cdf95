"""The rig itself: a short run of each quick part finds nothing, and what it is there to find it finds.

A fault is planted from outside: a module that every Python loads at its start changes what the system does.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

RIG = Path(__file__).with_name("run.py")
NO_SYNC = "import os\nos.fsync = os.fdatasync = lambda fd: None\n"
DROP_INSTEAD_OF_REJECTING = """
import os
rename = os.rename
def drop(source, target, *, src_dir_fd=None, dst_dir_fd=None):
    if src_dir_fd == dst_dir_fd:
        return rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
    os.unlink(source, dir_fd=src_dir_fd)
os.rename = drop
"""

LOSE_IN_THE_SPOOL = """
import os
plain_open = os.open
def lose(path, flags, mode=0o777, *, dir_fd=None):
    if dir_fd is not None and path == "3.pour":
        os.unlink(path, dir_fd=dir_fd)
    return plain_open(path, flags, mode, dir_fd=dir_fd)
os.open = lose
"""

Rig = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """``rig("--only", "model", plant=...)`` runs it, with that planted in every process of it."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")

    def run(*arguments: str, plant: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "sitecustomize.py").write_text(plant)
        return subprocess.run(
            [sys.executable, RIG, "--seed", "1", *arguments],
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,  # a starved machine is waited for, for two minutes at each standstill
            check=False,
        )

    return run


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The rig's module of this name; the rig's modules find each other by the path of the script."""
    monkeypatch.syspath_prepend(RIG.parent)
    return importlib.import_module("patience")


def test_a_short_run_of_the_quick_parts_finds_nothing(rig: Rig, tmp_path: Path) -> None:
    parts = ("model", "crash", "powercut", "fuzz")
    done = rig("--minutes", "0.06", *(word for part in parts for word in ("--only", part)))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "no violation" in done.stdout
    assert all(f" {part}: " in done.stdout for part in parts)
    assert not list(tmp_path.glob("kegnet-torture-*")), "it left something behind"


def test_a_record_that_is_dropped_instead_of_rejected_is_found_and_found_again(rig: Rig, tmp_path: Path) -> None:
    done = rig("--minutes", "0.01", "--only", "crash", plant=DROP_INSTEAD_OF_REJECTING)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "is lost" in done.stdout
    (failing,) = tmp_path.glob("*/failing-crash.json")
    assert rig("--replay", str(failing), plant=DROP_INSTEAD_OF_REJECTING).returncode == 1


def test_a_program_that_syncs_nothing_is_caught_by_the_power_cuts(rig: Rig, tmp_path: Path) -> None:
    done = rig("--minutes", "0.01", "--only", "powercut", plant=NO_SYNC)

    assert done.returncode == 1, done.stdout + done.stderr
    (failing,) = tmp_path.glob("*/failing-powercut.json")
    assert json.loads(failing.read_text())["case"]["promised"]


@pytest.mark.slow
def test_a_record_that_is_lost_during_the_soak_is_told_and_kept_with_its_schedule(rig: Rig, tmp_path: Path) -> None:
    done = rig("--minutes", "0.05", "--only", "soak", plant=LOSE_IN_THE_SPOOL)

    assert done.returncode == 1, done.stdout + done.stderr
    (failing,) = tmp_path.glob("*/failing-soak.json")
    assert "1 of " in json.loads(failing.read_text())["violation"]
    assert "neither in the spool nor at the server" in json.loads(failing.read_text())["violation"]


def test_a_backlog_that_goes_slowly_is_waited_for_however_long_it_takes(patience: ModuleType) -> None:
    counts = iter([9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0])  # over three seconds

    assert patience.wait_while_falling(lambda: next(counts), 1, still_s=0.5)


def test_a_backlog_of_which_nothing_goes_is_a_standstill(patience: ModuleType) -> None:
    nudges: list[int] = []

    assert not patience.wait_while_falling(lambda: 9, 1, still_s=0.5, nudge=lambda: nudges.append(1))
    assert nudges == [1]
