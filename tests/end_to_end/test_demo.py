"""What a newcomer sees first."""

import os
import signal
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx

from ..support.program import COMMAND
from ..support.waits import wait_until

TIMEOUT_S = 90.0


def look(address: str, ca: Path) -> None:
    """Wait until whoever opens ``address`` sees levels, a chart of a day, and what is wrong."""
    url, _, token = address.partition("/?token=")
    trust = ssl.create_default_context(cafile=ca)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, verify=trust, headers=headers, trust_env=False) as browser:

        def see(path: str) -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = browser.get(f"/api/{path}").raise_for_status().json()["items"]
            return items

        wait_until(lambda: len(see("temperatures?limit=1000")) > 70, "a day of temperatures")
        wait_until(lambda: [one["rule"] for one in see("alarms")] == ["keg-low"], "an alarm")
        assert [tap["keg"]["left_percent"] > 0 for tap in see("taps")] == [True, True]


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


def test_the_demo_opens_with_levels_a_day_of_temperatures_and_an_alarm_and_ctrl_c_ends_all_of_it() -> None:
    with tempfile.TemporaryDirectory() as directory:
        environ = {**os.environ, "TMPDIR": directory, "PYTHONUNBUFFERED": "1"}
        demo = subprocess.Popen([COMMAND, "demo"], env=environ, stdout=subprocess.PIPE, text=True)
        assert demo.stdout is not None
        said: list[str] = []
        for line in demo.stdout:
            said.append(line)
            if "is in the spool" in line:
                break
        (address,) = (line.split()[-1] for line in said if "in a browser" in line)
        (ca,) = Path(directory).glob("*/hub/ca.crt")
        look(address, ca)
        children = children_of(demo.pid)
        assert len(children) == 5, "a hub, a daemon, a screen, a tap and a thermometer"
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=TIMEOUT_S)
        assert demo.returncode == 0
        assert [child for child in children if Path(f"/proc/{child}").exists()] == []
        assert list(Path(directory).iterdir()) == []
