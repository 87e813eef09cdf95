"""The commands beside a process that delivers: what it tells of itself, and that they leave it alone."""

import json
import os
from pathlib import Path
from typing import Any

from kegnet_client import __version__

from ..support.device import Device
from ..support.server import Server


def status(device: Device) -> dict[str, Any]:
    ended = device.command("status", "--json")
    said: dict[str, Any] = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr) == (0 if said["running"] else 3, "")
    return said


def text(device: Device) -> str:
    ended = device.command("status")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_a_running_process_tells_what_it_did(device: Device, server: Server) -> None:
    device.plug()
    program = device.start()
    device.drop()
    (device.spool / "bad.pour").write_text("0,586\n")
    program.log.wait_for("delivered", 2)
    program.log.wait_for("rejected bad.pour")
    said = wait_for(device, lambda said: said["counters"]["accepted"] == 2 and said["counters"]["rejected"] == 1)
    assert said["running"]
    assert said["pid"] == program.process.pid
    assert (said["version"], said["server"], said["link"]) == (__version__, server.url, "up")
    assert (said["waiting"], said["rejected"]) == (0, 1)
    assert said["started_ms"] <= said["last_acknowledged_ms"]
    assert [one["millidegrees"] for one in said["temperatures"]] == [23125]
    shown = text(device)
    assert f"pid {program.process.pid}" in shown
    assert f"server       {server.url}, up\n" in shown
    assert "delivered    2 since the start; last acknowledgement at 20" in shown
    assert "temperature  23.1 °C from 28-0316a2795c5b at 20" in shown
    program.stop()
    assert not status(device)["running"]


def test_why_nothing_goes_stands_there(device: Device, server: Server) -> None:
    server.answer = lambda _: 401
    device.drop()
    program = device.start()
    program.log.wait_for("answered 401")
    said = wait_for(device, lambda said: said["link"] == "misconfigured")
    assert "it does not know this device or its key" in said["link_reason"]
    assert said["counters"]["misconfigured"] == 1
    assert "misconfigured: the server answered 401" in text(device)


def test_what_cannot_be_taken_stands_there_whatever_its_name_is(device: Device) -> None:
    os.mkfifo(device.spool / "pipe.pour")
    Path(os.fsdecode(os.fsencode(device.spool) + b"/\xff\n\x1b[31m.pour")).mkdir()
    program = device.start()
    program.log.wait_for("stays where it is", 2)
    problems = wait_for(device, lambda said: len(said["problems"]) >= 2)["problems"]
    assert "pipe.pour stays where it is: not a regular file; a record is one, so remove it or rename it" in problems
    shown = text(device)
    assert "look at      pipe.pour stays where it is" in shown
    assert "look at      \\xff\\n\\x1b[31m.pour stays where it is" in shown


def test_of_many_files_that_cannot_be_taken_it_names_some_and_their_number(device: Device) -> None:
    for number in range(30):
        os.mkfifo(device.spool / f"{number}.pour")
    device.start().log.wait_for("stays where it is", 30)
    problems = wait_for(device, lambda said: said["problems"])["problems"]
    assert len([problem for problem in problems if "stays where it is: not a regular file" in problem]) == 20
    assert "10 more stay where they are" in problems


def test_a_killed_process_does_not_run(device: Device) -> None:
    program = device.start()
    wait_for(device, lambda said: said["running"])
    program.process.kill()
    program.process.wait()
    assert not status(device)["running"]


def test_a_spool_that_is_closed_to_this_user_is_told(plain_users_device: Device, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "spool").mkdir(parents=True)
    closed.chmod(0o700)
    plain_users_device.configure(spool=str(closed / "spool"))
    ended = plain_users_device.command("status")
    assert ended.returncode == 75
    assert "Permission denied; give this user access to it" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_sees_the_daemon_at_work_and_leaves_it_alone(device: Device, server: Server) -> None:
    program = device.run()
    assert "0 waiting; a kegnet-client delivers from it\n" in device.command("check").stdout
    device.drop()
    program.log.wait_for("delivered")


def test_beside_a_running_daemon_it_ends_with_75_and_says_so(device: Device) -> None:
    device.run()
    ended = device.command("send")
    assert ended.returncode == 75
    assert "another kegnet-client delivers from this spool; stop it first" in ended.stderr


def wait_for(device: Device, condition: Any) -> dict[str, Any]:
    """The status once it is as awaited: a busy process publishes it once a second."""
    for _ in range(100):
        said = status(device)
        if said["running"] and condition(said):
            return said
    raise AssertionError(said)
