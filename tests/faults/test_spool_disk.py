"""Faults of the disk: what cannot be unlinked is not sent again, a full disk stops producers, not deliveries, and a
record that took another's place is not removed for it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from ..support.device import Device
from ..support.waits import wait_until
from .known import CHECK_S
from .misbehaving_server import Asked, Server
from .versions import V2_LATER, some_of

MountExt4 = Callable[[Path, int], Path]
FillUp = Callable[[Path], None]


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


@pytest.mark.case(12, 13)
@V2_LATER
def test_what_cannot_be_unlinked_is_not_sent_again_but_after_a_restart_and_then_it_is_one_row(
    device: Device, server: Server, mount_ext4: MountExt4
) -> None:
    disk = mount_ext4(device.spool, 16)
    program = device.run()

    def answer(asked: Asked) -> int:
        if asked.pulses:
            remount(disk, "ro")
        return 200

    server.answer = answer
    device.drop(1)
    program.log.wait_for("spool cannot be changed: Read-only file system; make the file system writable again")
    server.answer = lambda _: 200
    program.log.wait_for("delivered 000001.pour")
    wait_until(lambda: any("Read-only" in one for one in device.status()["problems"]), "not in status")
    assert "Read-only file system" in device.command("pour", "--pin", "0", "--pulses", "5", "--elapsed-ms", "1").stderr
    assert device.waiting() == ["000001.pour"]
    assert server.rows() == {1: 1}
    assert len(program.log.lines("cannot be changed")) == 1
    assert program.stop()[0] == 0
    program = device.run()
    program.log.wait_for("delivered 000001.pour")
    assert server.rows() == {1: 2}  # sent twice, one row
    assert program.log.lines("read-only for this user")
    program.stop()
    remount(disk, "rw")
    device.run().log.wait_for("delivered 000001.pour")
    wait_until(lambda: not device.waiting(), "not removed")


@pytest.mark.case(12)
@pytest.mark.slow
def test_what_could_not_be_unlinked_is_once_the_disk_can_be_written_again(
    device: Device, server: Server, mount_ext4: MountExt4
) -> None:
    disk = mount_ext4(device.spool, 16)
    device.configure(ping_interval_s="1")  # a heartbeat a second shows that it goes on
    program = device.run()
    for pulses in range(1, 6):
        device.drop(pulses)
    server.wait_for_rows(range(1, 6))
    wait_until(lambda: not device.waiting(), "files stay")

    def answer(asked: Asked) -> int:
        if asked.pulses:
            remount(disk, "ro")
        return 200

    server.answer = answer
    device.drop(8)
    program.log.wait_for("cannot be changed")
    program.log.wait_for("is read-only for this user", timeout_s=2 * CHECK_S)  # it has looked again
    beats = sum(not asked.pulses for asked in server.asked())
    server.wait_until(lambda asked: not asked.pulses, count=beats + 2)
    assert server.rows()[8] == 1, "sent again"
    remount(disk, "rw")
    program.log.wait_for("the spool can be changed again", timeout_s=2 * CHECK_S)
    wait_until(lambda: not device.waiting(), "not removed")
    assert server.rows()[8] == 1


@pytest.mark.case(13)
def test_with_the_disk_full_what_is_spooled_goes_producers_hear_why_and_pours_go_before_temperatures(
    device: Device, server: Server, mount_ext4: MountExt4, fill_up: FillUp
) -> None:
    disk = mount_ext4(device.spool, 16)
    device.plug()
    device.configure(ping_interval_s="1")
    for pulses in range(1, 21):
        device.drop(pulses)
    filler = disk / "filler"
    fill_up(filler)
    refused = device.command(
        "pour", "--pin", "0", "--pulses", "5", "--elapsed-ms", "1", "--started-ms", "1700000000000"
    )
    assert refused.returncode == 75
    assert "No space left on device; make room on the disk" in refused.stderr
    program = device.run()
    server.wait_for_rows(range(1, 21))
    wait_until(lambda: not device.waiting(), "files stay")
    program.log.wait_for("temperatures are not taken for now: ")
    wait_until(lambda: device.status()["counters"]["readings_not_taken"] >= 2, "not counted")
    assert "readings not spooled" in device.command("status").stdout
    # A little room is for pours.
    filler.unlink()
    with filler.open("wb") as file:
        free = os.statvfs(disk)
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - free.f_blocks * free.f_frsize // 40)
    taken = device.command("pour", "--pin", "0", "--pulses", "50", "--elapsed-ms", "1", "--started-ms", "1700000000000")
    assert taken.returncode == 0, taken.stderr
    server.wait_for_rows([50])
    assert len(program.log.lines("temperatures are not taken for now")) == 1
    filler.unlink()
    program.log.wait_for("temperatures are taken again")
    server.wait_until(lambda asked: 23125 in asked.temperatures)


# 55

TOOLS = {
    "cp -p": ["cp", "-p", "stick/x.pour", "spool/x.pour"],
    "tar": ["sh", "-c", "tar -c -C stick x.pour | tar -x --overwrite -C spool"],
    "rsync --inplace": ["rsync", "--times", "--ignore-times", "--inplace", "stick/x.pour", "spool/x.pour"],
}


@pytest.mark.case(55)
@V2_LATER
@pytest.mark.parametrize(
    ("file_system", "tool", "moment"),
    some_of(
        product(["as it is", "ext2"], TOOLS, ["before it is stored", "after it is stored"]),
        [("as it is", "tar", "before it is stored"), ("ext2", "cp -p", "after it is stored")],
    ),
)
def test_a_record_rewritten_in_place_with_its_time_kept_while_the_other_is_under_way_arrives_too(
    device: Device, server: Server, request: pytest.FixtureRequest, file_system: str, tool: str, moment: str
) -> None:
    if shutil.which(TOOLS[tool][0]) is None:
        pytest.skip(f"{TOOLS[tool][0]} is not installed")
    if file_system != "as it is":
        request.getfixturevalue("mount_disk")(file_system, device.spool, 16)
    (device.root / "stick").mkdir()
    old, new = device.spool / "x.pour", device.root / "stick" / "x.pour"
    new.write_text("0,2,8123,1700000000002\n")
    os.utime(new, (1_700_000_100,) * 2)
    kept: list[tuple[bool, bool]] = []

    def answer(asked: Asked) -> int:
        if asked.pulses == [1]:
            if moment == "after it is stored":
                server.store(asked)
            before = old.stat()
            subprocess.run(TOOLS[tool], cwd=device.root, check=True)
            after = old.stat()
            kept.append((after.st_mtime_ns == before.st_mtime_ns, after.st_size == before.st_size))
        return 200

    server.answer = answer
    program = device.run()
    writing = device.spool / ".x.tmp"
    writing.write_text("0,1,8123,1700000000001\n")
    os.utime(writing, (1_700_000_100,) * 2)
    writing.rename(old)
    server.wait_for_rows([1, 2])
    wait_until(lambda: not device.waiting(), "it stays")
    assert kept == [(True, True)]
    assert program.stop()[0] == 0
    assert not device.rejected.exists() or not list(device.rejected.iterdir())
