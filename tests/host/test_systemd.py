"""What systemd is told, read from the socket that it would listen on."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kegnet_client.host.systemd import Supervisor


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """systemd's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield receiver


def test_each_message_arrives_as_systemd_reads_it(systemd: socket.socket) -> None:
    supervisor = Supervisor(os.environ)
    supervisor.ready()
    assert systemd.recv(4096) == b"READY=1"
    supervisor.status("2 records waiting, 3.9 °C")
    assert systemd.recv(4096) == "STATUS=2 records waiting, 3.9 °C".encode()
    supervisor.alive()
    assert systemd.recv(4096) == b"WATCHDOG=1"
    supervisor.stopping()
    assert systemd.recv(4096).split(b"\n")[0] == b"STOPPING=1"


def test_a_reload_tells_when_it_began_on_systemds_clock(systemd: socket.socket) -> None:
    before_us = time.monotonic_ns() // 1000
    Supervisor(os.environ).reloading()
    reloading, when = systemd.recv(4096).split(b"\n")
    assert reloading == b"RELOADING=1"
    name, _, microseconds = when.partition(b"=")
    assert name == b"MONOTONIC_USEC"
    assert before_us <= int(microseconds) <= time.monotonic_ns() // 1000


def test_a_status_is_one_line_and_no_assignment_of_its_own(systemd: socket.socket) -> None:
    Supervisor(os.environ).status("waiting\nREADY=1\r\nWATCHDOG=1")
    assert systemd.recv(4096).splitlines() == [b"STATUS=waiting READY=1 WATCHDOG=1"]


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    supervisor = Supervisor({})
    supervisor.ready()
    supervisor.status("fine")
    supervisor.stopping()
    assert supervisor.watchdog_s is None


def test_a_systemd_that_does_not_listen_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    Supervisor(os.environ).ready()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": str(os.getpid())}, 90.0),
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": "1"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_time_is_taken_when_it_is_meant_for_this_process(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert Supervisor(environ).watchdog_s == seconds
