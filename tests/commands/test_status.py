"""``kegnet-client status``, for people and for programs, with and without a process that runs."""

import json
from typing import Any

from kegnet_client import __version__
from kegnet_client.commands.status import NOT_RUNNING

from ..support.device import Device
from ..support.server import Server


def status(device: Device) -> dict[str, Any]:
    ended = device.command("status", "--json")
    assert (ended.returncode, ended.stderr) == (NOT_RUNNING, "")
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


def text(device: Device) -> str:
    ended = device.command("status")
    assert (ended.returncode, ended.stderr) == (NOT_RUNNING, "")
    return ended.stdout


def test_when_nothing_runs_it_says_so_and_what_waits(device: Device, server: Server) -> None:
    (device.spool / "bad.pour").write_text("0,586\n")
    device.command("send")
    device.drop()
    (device.spool / "not ours.txt").touch()
    (device.spool / "directory.pour").mkdir()
    said = status(device)
    assert said == {
        "running": False,
        "spool": str(device.spool),
        "waiting": 1,
        "rejected": 1,
        "server": server.url,
        "meters": {},
        "problems": [
            "directory.pour stays where it is: not a regular file; a record is one, so remove it or rename it"
        ],
    }
    lines = text(device).splitlines()
    assert lines[0].startswith(f"kegnet-client {__version__} does not run")
    assert f"waiting      1 in {device.spool}" in lines
    assert "rejected     1 (see kegnet-client rejected list)" in lines


def test_before_the_first_run_nothing_waits(device: Device) -> None:
    device.spool.rmdir()
    assert status(device)["waiting"] == 0
