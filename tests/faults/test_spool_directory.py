"""Faults of the directory itself: it goes, it cannot be watched, it holds much, or somebody else delivers from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..support.device import Device
from ..support.program import asleep
from ..support.waits import wait_until
from .known import CHECK_S
from .misbehaving_server import Server
from .versions import BOTH

INOTIFY = Path("/proc/sys/fs/inotify")


@contextmanager
def limited(name: str, value: int) -> Iterator[None]:
    """Less inotify for the whole machine, for a moment."""
    limit = INOTIFY / name
    before = limit.read_text()
    limit.write_text(str(value))
    try:
        yield
    finally:
        limit.write_text(before)


# 4


@pytest.mark.case(4)
@pytest.mark.alone
def test_when_inotifys_queue_overflows_a_scan_finds_everything(device: Device, server: Server, as_root: None) -> None:
    with limited("max_queued_events", 16):
        program = device.run()
    with asleep(program):
        for pulses in range(1, 201):
            device.drop(pulses)
    server.wait_for_rows(range(1, 201))
    wait_until(lambda: not device.waiting(), "files stay")
    assert set(server.rows().values()) == {1}


# 6


@pytest.mark.case(6)
@pytest.mark.parametrize("how", ["moved away", pytest.param("deleted", marks=pytest.mark.slow), "replaced"])
def test_a_spool_that_goes_is_made_anew_watched_scanned_and_locked(device: Device, server: Server, how: str) -> None:
    program = device.run()
    device.drop(1)
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")
    moved = device.root / "moved"
    match how:
        case "moved away":
            device.spool.rename(moved)
        case "deleted":
            device.spool.rmdir()
        case "replaced":
            with asleep(program):  # it would make one itself between the two
                device.spool.rename(moved)
                device.spool.mkdir()
                device.drop(2)  # stands there before it is watched
    wait_until(device.spool.is_dir, "not made anew", 2 * CHECK_S)
    program.log.wait_for("spool was replaced; going on with the new one", timeout_s=2 * CHECK_S)
    device.drop(3)
    server.wait_for_rows([3] if how != "replaced" else [2, 3])
    second = device.command("run")
    assert (second.returncode, "another kegnet-client delivers" in second.stderr) == (75, True)


# 7


@pytest.mark.case(7)
@pytest.mark.alone
@pytest.mark.parametrize("limit", ["max_user_watches", "max_user_instances"])
def test_without_an_inotify_watch_it_says_so_once_and_sends_what_stands_there(
    device: Device, server: Server, as_root: None, limit: str
) -> None:
    device.drop(1)
    with limited(limit, 0):
        program = device.run()
        server.wait_for_rows([1])
        program.log.wait_for("looking into the spool every 60 s instead")
        wait_until(lambda: any("inotify" in one for one in device.status()["problems"]), "not in status")
    assert len(program.log.lines("looking into the spool every 60 s instead")) == 1


@pytest.mark.case(7)
@pytest.mark.alone
@pytest.mark.slow
def test_without_an_inotify_watch_a_timer_finds_what_comes_later(device: Device, server: Server, as_root: None) -> None:
    with limited("max_user_watches", 0):
        program = device.run()
        program.log.wait_for("looking into the spool every 60 s instead")
        device.drop(1)
        server.wait_for_rows([1], timeout_s=2 * CHECK_S)
    assert len(program.log.lines("looking into the spool every 60 s instead")) == 1


# 14, 15


@pytest.mark.case(14)
@pytest.mark.slow
@BOTH
def test_a_backlog_of_a_hundred_thousand_fits_in_bounded_memory_and_does_not_hold_up_a_fresh_pour(
    device: Device, server: Server
) -> None:
    backlog = 100_000
    program = device.run()
    device.drop(1_000_000)
    server.wait_for_rows([1_000_000])
    idle_kb = program.memory_kb()
    program.stop()
    for pulses in range(1, backlog + 1):
        (device.spool / f"{pulses:06}.pour").write_text(f"0,{pulses},8123,{1_700_000_000_000 + pulses}\n")
    program = device.run()
    server.wait_until(lambda asked: asked.pulses, count=len(server.asked()) + 3)
    before = len(server.asked())
    device.drop(2_000_000)
    (asked,) = server.wait_for(2_000_000)
    assert server.asked().index(asked) - before < 50, "the fresh one waited in the queue"
    grown_kb = program.memory_kb("VmHWM") - idle_kb
    print(f"{backlog} files wait: {grown_kb} KiB more than when idle ({idle_kb} KiB)")
    assert grown_kb < 24 * 1024
    assert program.stop()[0] == 0


@pytest.mark.case(15)
def test_a_second_instance_ends_with_a_clear_error_and_the_first_is_undisturbed(device: Device, server: Server) -> None:
    program = device.run()
    for command in ("run", "send"):
        second = device.command(command)
        assert second.returncode == 75
        assert f"{device.spool}: another kegnet-client delivers from this spool; stop it first" in second.stderr
    device.drop(1)
    server.wait_for_rows([1])
    program.log.wait_for("delivered 000001.pour")
    assert device.status()["pid"] == program.pid
