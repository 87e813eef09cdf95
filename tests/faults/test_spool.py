"""Faults of the spool: what stands in it, what it stands on, and who else is there."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .device import Device
from .misbehaving_server import Asked, Server
from .program import Program, Until
from .versions import BOTH, V2_LATER

INOTIFY = Path("/proc/sys/fs/inotify")
CHECK_S = 60.0
"""How often the daemon compares the directory with what it knows, when nothing happens."""

MountExt4 = Callable[[Path, int], Path]
FillUp = Callable[[Path], None]


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


@contextmanager
def asleep(program: Program) -> Iterator[None]:
    """What happens meanwhile, it finds all at once."""
    program.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        program.signal(signal.SIGCONT)


# 1


@pytest.mark.case(1)
@BOTH
def test_what_is_still_being_written_is_not_sent_by_inotify_nor_by_a_scan_and_then_once(
    device: Device, server: Server
) -> None:
    program = device.start()
    with (device.spool / "slow.pour").open("w") as writer:
        writer.write("0,586,8123,1700000000")  # so far a whole line, of an old producer that counts seconds
        writer.flush()
        device.drop(1)
        server.wait_for_rows([1])
        device.reload(program)  # begins with a scan
        device.drop(2)
        server.wait_for_rows([2])
        assert server.asked(586) == []
        writer.write("123")
    server.wait_for_rows([586])
    program.log.wait_for("delivered slow.pour")
    assert server.rows() == {1: 1, 2: 1, 586: 1}
    ((_, record),) = [(one, record) for one in server.asked(586) for record in one.records]
    assert str(record.get("ts", record.get("started_ms"))) == "1700000000123"


@pytest.mark.case(1)
@pytest.mark.slow
def test_what_a_scan_found_without_a_newline_is_taken_for_whole_once_it_has_not_changed_for_ten_seconds(
    device: Device, server: Server
) -> None:
    with (device.spool / "slow.pour").open("w") as writer:
        writer.write("0,586,8123,1700000000123")
        writer.flush()
        last_s = time.monotonic()
        device.start()
        server.wait_for_rows([586])
        assert time.monotonic() - last_s > 9.5


# 2


@pytest.mark.case(2)
@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_a_zero_byte_file_is_rejected_with_its_reason_and_its_neighbours_are_sent(
    device: Device, server: Server, until: Until, when: str
) -> None:
    if when == "before the start":
        device.drop(1, age_s=70)
        empty = device.drop_text("", "empty.pour", age_s=60)
        device.drop(2, age_s=50)
        program = device.start()
    else:
        program = device.start()
        device.drop(1)
        empty = device.drop_text("", "empty.pour", age_s=60)
        device.drop(2)
    program.log.wait_for("rejected empty.pour: the file is empty; a power cut during writing leaves such files")
    server.wait_for_rows([1, 2])
    until(lambda: not device.waiting(), "not all taken")
    assert not empty.exists()
    assert (device.rejected / "empty.pour").read_bytes() == b""
    assert "power cut" in device.reason("empty.pour")
    until(lambda: device.status()["counters"]["rejected"] == 1, "not counted")


# 3


@pytest.mark.case(3)
@V2_LATER
def test_what_stood_there_before_the_start_is_sent_oldest_first(device: Device, server: Server) -> None:
    for pulses, age_s in ((3, 100), (1, 300), (4, 50), (2, 200)):
        device.drop(pulses, name=f"{9 - pulses}.pour", age_s=age_s)
    device.start()
    server.wait_for_rows([1, 2, 3, 4])
    assert [pulses for asked in server.asked() for pulses in asked.pulses] == [1, 2, 3, 4]


# 4, 5


@pytest.mark.case(4)
@pytest.mark.alone
def test_when_inotifys_queue_overflows_a_scan_finds_everything(
    device: Device, server: Server, as_root: None, until: Until
) -> None:
    with limited("max_queued_events", 16):
        program = device.start()
    with asleep(program):
        for pulses in range(1, 201):
            device.drop(pulses)
    server.wait_for_rows(range(1, 201))
    until(lambda: not device.waiting(), "files stay")
    assert set(server.rows().values()) == {1}


@pytest.mark.case(5)
@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_a_name_that_is_not_utf_8_is_delivered_and_so_are_its_neighbours(
    device: Device, server: Server, until: Until, when: str
) -> None:
    def drop_all() -> None:
        device.drop(1)
        device.drop(2, name=os.fsdecode(b"caf\xe9.pour"))
        device.drop(3)

    if when == "before the start":
        drop_all()
        program = device.start()
    else:
        program = device.start()
        with asleep(program):
            drop_all()
    server.wait_for_rows([1, 2, 3])
    until(lambda: not device.waiting(), "files stay")
    program.log.wait_for(r"delivered caf\xe9.pour")


# 6


@pytest.mark.case(6)
@pytest.mark.parametrize("how", ["moved away", pytest.param("deleted", marks=pytest.mark.slow), "replaced"])
def test_a_spool_that_goes_is_made_anew_watched_scanned_and_locked(
    device: Device, server: Server, until: Until, how: str
) -> None:
    program = device.start()
    device.drop(1)
    server.wait_for_rows([1])
    until(lambda: not device.waiting(), "files stay")
    moved = device.root / "moved"
    match how:
        case "moved away":
            device.spool.rename(moved)
        case "deleted":
            device.spool.rmdir()
        case "replaced":
            device.spool.rename(moved)
            device.spool.mkdir()
            device.drop(2)  # stands there before it is watched
    until(device.spool.is_dir, "not made anew", 2 * CHECK_S)
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
    device: Device, server: Server, as_root: None, limit: str, until: Until
) -> None:
    device.drop(1)
    with limited(limit, 0):
        program = device.start()
        server.wait_for_rows([1])
        program.log.wait_for("looking into the spool every 60 s instead")
        until(lambda: any("inotify" in one for one in device.status()["problems"]), "not in status")
    assert len(program.log.lines("looking into the spool every 60 s instead")) == 1


@pytest.mark.case(7)
@pytest.mark.alone
@pytest.mark.slow
def test_without_an_inotify_watch_a_timer_finds_what_comes_later(device: Device, server: Server, as_root: None) -> None:
    with limited("max_user_watches", 0):
        program = device.start()
        program.log.wait_for("looking into the spool every 60 s instead")
        device.drop(1)
        server.wait_for_rows([1], timeout_s=2 * CHECK_S)
    assert len(program.log.lines("looking into the spool every 60 s instead")) == 1


# 8, 9, 10


@pytest.mark.case(8)
def test_a_file_that_is_gone_before_it_is_opened_is_no_matter(device: Device, server: Server) -> None:
    program = device.start()
    with asleep(program):
        device.drop(1).unlink()
        device.drop(2)
    server.wait_for_rows([2])
    program.log.wait_for("delivered 000002.pour")
    assert server.rows() == {2: 1}
    assert program.log.lines("000001.pour") == []
    assert program.process.poll() is None


@pytest.mark.case(9)
@pytest.mark.parametrize("kind", ["fifo", "socket", "symlink", "directory", "unreadable"])
@pytest.mark.parametrize("when", ["before the start", pytest.param("while it runs", marks=pytest.mark.slow)])
def test_what_cannot_be_taken_stays_and_is_told_once_and_in_status(
    device: Device, server: Server, until: Until, as_root: None, tmp_path: Path, kind: str, when: str
) -> None:
    path = device.spool / "odd.pour"
    target = tmp_path / "target"
    target.write_text("0,999,8123,1700000000000\n")

    def put() -> None:
        match kind:
            case "fifo":
                os.mkfifo(path)
            case "socket":
                with socket.socket(socket.AF_UNIX) as bound:
                    bound.bind(str(path))
            case "symlink":
                path.symlink_to(target)
            case "directory":
                path.mkdir()
            case _:  # as mktemp makes it for another user
                path.touch(0o600)
                path.write_text("0,999,8123,1700000000000\n")
                os.chown(path, 65534, 65534)

    if when == "before the start":
        put()
    # Root reads everything, unless it may not.
    powerless = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    program = device.start(before=powerless)
    if when == "while it runs":
        put()
        if kind in ("fifo", "socket", "directory", "symlink"):  # nobody closes or moves it: a scan has to find it
            device.reload(program)
    device.drop(1)
    server.wait_for_rows([1])
    told = program.log.wait_for("odd.pour stays where it is: ")
    assert ("remove it or rename it" in told) or ("chmod g+r" in told)
    until(lambda: any("odd.pour" in one for one in device.status()["problems"]), "not in status")
    device.drop(2)
    server.wait_for_rows([2])
    assert len(program.log.lines("odd.pour")) == 1
    assert path.lstat()
    assert target.read_text() == "0,999,8123,1700000000000\n"
    assert server.asked(999) == []


@pytest.mark.case(10)
def test_what_is_not_ours_is_never_touched(device: Device, server: Server) -> None:
    names = [".hidden.pour", "writer.tmp", "0.pour.tmp", "README", "0.POUR", "0.pour.bak", "pour", "0.reading~", "a b"]
    for name in names:
        device.drop_text("0,999,8123,1700000000000\n", name, age_s=3600)
        device.drop_text("", f"{name}.0", age_s=3600)
    before = {path.name: (path.read_bytes(), path.stat()) for path in device.spool.iterdir()}
    program = device.start()
    (device.spool / "appended.txt").write_text("0,999,8123,1700000000000\n")
    device.drop(1)
    server.wait_for_rows([1])
    device.reload(program)
    device.drop(2)
    server.wait_for_rows([2])
    program.log.wait_for("delivered 000002.pour")
    assert program.stop()[0] == 0
    for name, (data, status) in before.items():
        path = device.spool / name
        now = path.stat()
        assert (now.st_ino, now.st_mtime_ns, now.st_ctime_ns) == (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        assert now.st_atime_ns == status.st_atime_ns or path.read_bytes() == data
    assert server.asked(999) == []


# 11

MALFORMED = {
    "missing": "0,586,8123",
    "extra": "0,586,8123,1700000000000,1",
    "underscore": "0,1_000,8123,1700000000000",
    "arabic": "0,٣,8123,1700000000000",
    "leading zero": "0,007,8123,1700000000000",
    "plus": "0,+5,8123,1700000000000",
    "minus": "0,-5,8123,1700000000000",
    "space": "0, 5,8123,1700000000000",
    "float": "0,5.0,8123,1700000000000",
    "exponent": "0,5e2,8123,1700000000000",
    "no pulses": "0,0,8123,1700000000000",
    "pin": "256,5,8123,1700000000000",
    "pulses": "0,2147483648,8123,1700000000000",
    "elapsed": "0,5,86400001,1700000000000",
    "1970": "0,5,8123,40000",
    "before 2001": "0,5,8123,978307199999",
    "year 10000": "0,5,8123,253402300800000",
    "digits": "0,5,8123," + "9" * 400,
    "two lines": "0,5,8123,1700000000000\n0,6,8123,1700000000000",
    "dos": "0,5,8123,1700000000000\r",
    "nul": "0,5,8123,17000\0\0\0\0\0\0\0\0",
    "only nul": "\0" * 25,
    "4 KiB": "0,5,8123,1700000000000" + " " * 4096,
    "empty line": "",
    "words": "I had a beer",
    "latin 1": b"0,\xb2,8123,1700000000000\n",
}
BAD_READINGS = {
    "sensor": "28-zz,3875,1700000000000",
    "hot": "28-0316a2795c5b,125001,1700000000000",
    "cold": "28-0316a2795c5b,-55001,1700000000000",
    "none": "28-0316a2795c5b,-1,1700000000000",
    "minus nothing": "28-0316a2795c5b,-0,1700000000000",
    "clock": "28-0316a2795c5b,3875,1000",
}


@pytest.mark.case(11)
@V2_LATER
def test_every_malformed_line_is_rejected_byte_for_byte_with_its_reason_and_the_next_one_goes(
    device: Device, server: Server, until: Until
) -> None:
    bad: dict[str, bytes] = {}
    for suffix, lines in ((".pour", MALFORMED), (".reading", BAD_READINGS)):
        for name, line in lines.items():
            bad[name + suffix] = line if isinstance(line, bytes) else f"{line}\n".encode()
    for pulses, (name, data) in enumerate(bad.items(), 1):
        device.drop_text(data, name, age_s=1000 - pulses)
        device.drop(pulses, age_s=1000 - pulses)
    program = device.start()
    server.wait_for_rows(range(1, len(bad) + 1))
    until(lambda: not device.waiting(), "some stay")
    for name, data in bad.items():
        assert (device.rejected / name).read_bytes() == data
        assert len(device.reason(name).split()) > 3, name
    assert set(server.rows().values()) == {1}
    assert len(program.log.lines("; it is kept in rejected/")) == len(bad)
    until(lambda: device.status()["counters"]["rejected"] == len(bad), "not counted")
    assert f"{len(bad)} records rejected" in device.command("status").stdout


# 12, 13


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


@pytest.mark.case(12, 13)
@V2_LATER
def test_what_cannot_be_unlinked_is_not_sent_again_but_after_a_restart_and_then_it_is_one_row(
    device: Device, server: Server, mount_ext4: MountExt4, until: Until
) -> None:
    disk = mount_ext4(device.spool, 16)
    program = device.start()

    def answer(asked: Asked) -> int:
        if asked.pulses:
            remount(disk, "ro")
        return 200

    server.answer = answer
    device.drop(1)
    program.log.wait_for("spool cannot be changed: Read-only file system; make the file system writable again")
    server.answer = lambda _: 200
    program.log.wait_for("delivered 000001.pour")
    until(lambda: any("Read-only" in one for one in device.status()["problems"]), "not in status")
    assert "Read-only file system" in device.command("pour", "--pin", "0", "--pulses", "5", "--elapsed-ms", "1").stderr
    assert device.waiting() == ["000001.pour"]
    assert server.rows() == {1: 1}
    assert len(program.log.lines("cannot be changed")) == 1
    assert program.stop()[0] == 0
    program = device.start()
    program.log.wait_for("delivered 000001.pour")
    assert server.rows() == {1: 2}  # sent twice, one row
    assert program.log.lines("read-only for this user")
    program.stop()
    remount(disk, "rw")
    device.start().log.wait_for("delivered 000001.pour")
    until(lambda: not device.waiting(), "not removed")


@pytest.mark.case(12)
@pytest.mark.slow
def test_what_could_not_be_unlinked_is_once_the_disk_can_be_written_again(
    device: Device, server: Server, mount_ext4: MountExt4, until: Until
) -> None:
    disk = mount_ext4(device.spool, 16)
    device.configure(ping_interval_s="1")  # a sign of life a second shows that it goes on
    program = device.start()
    for pulses in range(1, 6):
        device.drop(pulses)
    server.wait_for_rows(range(1, 6))
    until(lambda: not device.waiting(), "files stay")

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
    until(lambda: not device.waiting(), "not removed")
    assert server.rows()[8] == 1


@pytest.mark.case(13)
def test_with_the_disk_full_what_is_spooled_goes_producers_hear_why_and_pours_go_before_temperatures(
    device: Device, server: Server, mount_ext4: MountExt4, fill_up: FillUp, until: Until, right_clock: None
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
    program = device.start()
    server.wait_for_rows(range(1, 21))
    until(lambda: not device.waiting(), "files stay")
    program.log.wait_for("temperatures are not taken for now: ")
    until(lambda: device.status()["counters"]["readings_not_taken"] >= 2, "not counted")
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


# 14, 15


@pytest.mark.case(14)
@pytest.mark.slow
@BOTH
def test_a_backlog_of_a_hundred_thousand_fits_in_bounded_memory_and_does_not_hold_up_a_fresh_pour(
    device: Device, server: Server
) -> None:
    backlog = 100_000
    program = device.start()
    device.drop(1_000_000)
    server.wait_for_rows([1_000_000])
    idle_kb = program.memory_kb()
    program.stop()
    for pulses in range(1, backlog + 1):
        (device.spool / f"{pulses:06}.pour").write_text(f"0,{pulses},8123,{1_700_000_000_000 + pulses}\n")
    program = device.start()
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
    program = device.start()
    for command in ("run", "send"):
        second = device.command(command)
        assert second.returncode == 75
        assert f"{device.spool}: another kegnet-client delivers from this spool; stop it first" in second.stderr
    device.drop(1)
    server.wait_for_rows([1])
    program.log.wait_for("delivered 000001.pour")
    assert device.status()["pid"] == program.pid
