"""What stands under a name that the program opens, and is not the file that it should be."""

import os
import signal
from itertools import product
from pathlib import Path

import pytest

from ..support.device import Device
from .misbehaving_server import Server
from .versions import slowly, some_of

STOPS_WITHIN_S = 2.0
KINDS = {
    "fifo": "cannot be read (not a regular file)",
    "device": "cannot be read (not a regular file)",
    "directory": "cannot be read (Is a directory)",
    "huge": "cannot be read (larger than ",
}

COMMANDS = {
    "configuration": ["run", "send", "check", "status", "rejected list", "rotate-key"],
    "CA": ["run", "send", "check", "rotate-key"],
    "key": ["run", "send", "check", "rotate-key"],
}
"""What is opened, and by whom."""
QUICK = [("configuration", "fifo"), ("CA", "device"), ("key", "huge")]


def put(kind: str, path: Path) -> None:
    """Have ``path`` be no file that anyone could read to its end."""
    path.unlink()
    match kind:
        case "fifo":
            os.mkfifo(path, 0o600)
        case "device":
            path.symlink_to("/dev/zero")
        case "directory":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(2**40)
    if kind != "device":
        path.chmod(0o600)


def find(device: Device, what: str) -> Path:
    """Where ``what`` is."""
    return {"configuration": device.root / "conf" / "client.conf", "CA": device.ca, "key": device.key}[what]


@pytest.mark.case(60)
@pytest.mark.parametrize(("what", "kind"), some_of(product(COMMANDS, KINDS), QUICK))
def test_a_reload_that_meets_no_file_says_so_and_delivery_and_stop_go_on(
    device: Device, server: Server, what: str, kind: str
) -> None:
    program = device.run()
    put(kind, find(device, what))
    program.signal(signal.SIGHUP)
    program.log.wait_for("the previous one stays in use")
    (line,) = program.log.lines(f"reload: {find(device, what)}: ")
    assert KINDS[kind] in line
    device.drop(1)
    server.wait_for_rows([1])
    code, took_s = program.stop()
    assert (code, took_s < STOPS_WITHIN_S) == (0, True)


@pytest.mark.case(60)
@pytest.mark.parametrize(("what", "kind"), some_of(product(COMMANDS, KINDS), QUICK))
def test_every_command_that_meets_no_file_says_so_in_one_line_and_ends(device: Device, what: str, kind: str) -> None:
    put(kind, find(device, what))
    for command in COMMANDS[what]:
        ended = device.command(*command.split())
        told = [line for line in (ended.stdout + ended.stderr).splitlines() if KINDS[kind] in line]
        assert (ended.returncode, len(told)) == (78, 1), (command, ended)


@pytest.mark.case(60)
@pytest.mark.parametrize("kind", ["fifo", "huge", *slowly("device", "directory")])
def test_a_state_that_is_no_file_is_no_state(device: Device, kind: str) -> None:
    state = device.root / ".state" / "state.json"
    state.parent.mkdir()
    state.touch()
    put(kind, state)
    ended = device.command("status")
    assert (ended.returncode, ended.stderr) == (3, "")
    assert "does not run" in ended.stdout


@pytest.mark.case(60)
def test_a_pipe_in_the_way_of_the_state_holds_up_nothing(device: Device, server: Server) -> None:
    (device.root / ".state").mkdir()
    os.mkfifo(device.root / ".state" / ".state.json.tmp")
    program = device.run()
    device.drop(1)
    server.wait_for_rows([1])
    assert device.status()["running"]
    assert program.stop()[0] == 0
