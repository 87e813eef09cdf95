"""The rig itself: a short run of each quick part finds nothing, and what it is there to find it finds.

A fault is planted from outside: a module that every Python loads at its start changes what the system does.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
            timeout=120,
            check=False,
        )

    return run


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
