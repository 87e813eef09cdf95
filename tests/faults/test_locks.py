"""Locks that somebody else holds on what everybody can open change nothing."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..support.device import Device
from .misbehaving_server import Server


@contextmanager
def locked(*paths: Path) -> Iterator[None]:
    """As `flock -s` does it, which takes the right to read."""
    fds = [os.open(path, os.O_RDONLY) for path in paths]
    for fd in fds:
        fcntl.flock(fd, fcntl.LOCK_SH)
    try:
        yield
    finally:
        for fd in fds:
            os.close(fd)


@pytest.mark.case(61)
def test_a_lock_on_the_spool_and_on_the_configuration_stops_nothing(device: Device, server: Server) -> None:
    (device.root / ".state").mkdir()
    with locked(device.root, device.spool, device.key.parent, device.root / ".state"):
        program = device.run()
        device.drop(1)
        server.wait_for_rows([1])
        assert "another rotate-key is at work" not in device.command("rotate-key").stderr
        assert program.stop()[0] == 0
        device.drop(2)
        assert device.command("send").returncode == 0
    assert device.waiting() == []


@pytest.mark.case(61)
def test_nothing_of_the_lock_is_in_the_spool(device: Device) -> None:
    device.run()
    assert [path.name for path in device.spool.iterdir()] == []


def test_check_writes_nothing(device: Device) -> None:
    device.spool.rmdir()
    before = sorted(path for path in device.root.rglob("*"))
    assert "does not exist yet; the service makes it" in device.command("check").stdout
    device.spool.mkdir()
    device.command("check")
    device.spool.rmdir()
    assert sorted(path for path in device.root.rglob("*")) == before
