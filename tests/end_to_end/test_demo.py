"""What a newcomer sees first."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

from ..support.program import COMMAND

TIMEOUT_S = 90.0


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_one_round_of_the_demo_delivers_verifies_and_cleans_up(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [COMMAND, "demo", "--once"], env=environ, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "done: the row is there, its signature holds, the file is gone"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_the_demo_and_all_that_it_started() -> None:
    with tempfile.TemporaryDirectory() as directory:
        environ = {**os.environ, "TMPDIR": directory, "PYTHONUNBUFFERED": "1"}
        demo = subprocess.Popen([COMMAND, "demo"], env=environ, stdout=subprocess.PIPE, text=True)
        assert demo.stdout is not None
        assert any("is in the spool" in line for line in demo.stdout)
        children = children_of(demo.pid)
        assert len(children) == 5, "a hub, a daemon, a screen, a tap and a thermometer"
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=TIMEOUT_S)
        assert demo.returncode == 0
        assert [child for child in children if Path(f"/proc/{child}").exists()] == []
        assert list(Path(directory).iterdir()) == []
