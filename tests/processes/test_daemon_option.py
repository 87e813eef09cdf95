"""``--daemon``: a producer that goes on without its terminal, is found by its pid file, and logs to syslog."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM

import pytest

from ..support.device import Device
from ..support.gpio_chip import GpioChip
from ..support.waits import wait_until

METER = "\n[FlowMeter tap1]\nline = 17\npin = 0\nidle = 0.5\n"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        found: int = one.getsockname()[1]
    return found


@pytest.fixture
def pid_file(device: Device, port: int, tmp_path: Path) -> Iterator[Path]:
    """Where the pid of `local-events` is to stand, which is ended at the end of the test."""
    file = device.root / "conf" / "client.conf"
    file.write_text(file.read_text().replace("[LocalEvents]\n", f"[LocalEvents]\nport = {port}\n") + METER)
    path = tmp_path / "pid"
    yield path
    with suppress(FileNotFoundError):
        end(path)


def end(pid_file: Path) -> None:
    os.kill(int(pid_file.read_text()), SIGTERM)
    wait_until(lambda: not pid_file.exists(), "it does not end")


def test_its_caller_gets_the_prompt_back_once_it_listens_and_it_ends_by_its_pid_file(
    device: Device, pid_file: Path, port: int
) -> None:
    done = device.command("local-events", "--daemon", "--pid-file", pid_file)
    assert (done.returncode, done.stdout) == (0, "")
    pid = int(pid_file.read_text())
    assert os.getsid(pid) == pid != os.getsid(0)
    assert {Path(f"/proc/{pid}/fd/{fd}").readlink() for fd in range(3)} == {Path("/dev/null")}
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    socket.create_connection(("127.0.0.1", port)).close()

    second = device.command("local-events", "--daemon", "--pid-file", pid_file)
    assert (second.returncode, "the process that it names runs; end that one" in second.stderr) == (75, True)
    assert int(pid_file.read_text()) == pid
    end(pid_file)


def test_what_keeps_it_from_starting_is_told_to_its_caller_with_the_exit_code(
    device: Device, pid_file: Path, port: int
) -> None:
    with socket.create_server(("127.0.0.1", port)):
        done = device.command("local-events", "--daemon", "--pid-file", pid_file)
    assert (done.returncode, "is Kegbot's core running?" in done.stderr) == (75, True)
    done = device.command("local-events", "--daemon", "--pid-file", pid_file / "below")
    assert (done.returncode, "write another by --pid-file" in done.stderr) == (75, True)


def test_a_flow_meter_counts_without_a_terminal_too(device: Device, pid_file: Path, tmp_path: Path) -> None:
    chip = GpioChip(tmp_path / "gpio", 17)
    environment = [f"{name}={value}" for name, value in chip.variables.items()]
    done = device.command("flow-meter", "--daemon", "--pid-file", pid_file, before=["env", *environment])
    assert done.returncode == 0, done.stderr
    chip.turn(17, 271, 270)
    wait_until(lambda: len(device.waiting()) == 1, "it is not counted")
    end(pid_file)
