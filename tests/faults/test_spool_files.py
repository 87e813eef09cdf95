"""Faults in what stands in the spool: a record is sent when it is whole, what is none is rejected byte for byte, and
what cannot be taken or is not ours stays."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..support.device import Device
from ..support.program import asleep
from ..support.waits import wait_until
from .misbehaving_server import Server
from .versions import BOTH, V2_LATER, slowly

# 1


@pytest.mark.case(1)
@BOTH
def test_what_is_still_being_written_is_not_sent_by_inotify_nor_by_a_scan_and_then_once(
    device: Device, server: Server
) -> None:
    program = device.run()
    with (device.spool / "slow.pour").open("w") as writer:
        writer.write("0,586,86,1700000000")  # so far a whole line, of an old producer that counts seconds
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
        device.run()
        server.wait_for_rows([586])
        assert time.monotonic() - last_s > 9.5


# 2


@pytest.mark.case(2)
@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_a_zero_byte_file_is_rejected_with_its_reason_and_its_neighbours_are_sent(
    device: Device, server: Server, when: str
) -> None:
    if when == "before the start":
        device.drop(1, age_s=70)
        empty = device.drop_text("", "empty.pour", age_s=60)
        device.drop(2, age_s=50)
        program = device.run()
    else:
        program = device.run()
        device.drop(1)
        empty = device.drop_text("", "empty.pour", age_s=60)
        device.drop(2)
    program.log.wait_for("rejected empty.pour: the file is empty; a power cut during writing leaves such files")
    server.wait_for_rows([1, 2])
    wait_until(lambda: not device.waiting(), "not all taken")
    assert not empty.exists()
    assert (device.rejected / "empty.pour").read_bytes() == b""
    assert "power cut" in device.reason("empty.pour")
    wait_until(lambda: device.status()["counters"]["rejected"] == 1, "not counted")


# 3


@pytest.mark.case(3)
@V2_LATER
def test_what_stood_there_before_the_start_is_sent_oldest_first(device: Device, server: Server) -> None:
    for pulses, age_s in ((3, 100), (1, 300), (4, 50), (2, 200)):
        device.drop(pulses, name=f"{9 - pulses}.pour", age_s=age_s)
    device.run()
    server.wait_for_rows([1, 2, 3, 4])
    assert [pulses for asked in server.asked() for pulses in asked.pulses] == [1, 2, 3, 4]


# 5


@pytest.mark.case(5)
@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_a_name_that_is_not_utf_8_is_delivered_and_so_are_its_neighbours(
    device: Device, server: Server, when: str
) -> None:
    def drop_all() -> None:
        device.drop(1)
        device.drop(2, name=os.fsdecode(b"caf\xe9.pour"))
        device.drop(3)

    if when == "before the start":
        drop_all()
        program = device.run()
    else:
        program = device.run()
        with asleep(program):
            drop_all()
    server.wait_for_rows([1, 2, 3])
    wait_until(lambda: not device.waiting(), "files stay")
    program.log.wait_for(r"delivered caf\xe9.pour")


# 8, 9, 10


@pytest.mark.case(8)
def test_a_file_that_is_gone_before_it_is_opened_is_no_matter(device: Device, server: Server) -> None:
    program = device.run()
    with asleep(program):
        device.drop(1).unlink()
        device.drop(2)
    server.wait_for_rows([2])
    program.log.wait_for("delivered 000002.pour")
    assert server.rows() == {2: 1}
    assert program.log.lines("000001.pour") == []
    assert program.process.poll() is None


@pytest.mark.case(9)
@pytest.mark.parametrize("kind", ["fifo", "unreadable", *slowly("socket", "symlink", "directory")])
@pytest.mark.parametrize("when", ["before the start", pytest.param("while it runs", marks=pytest.mark.slow)])
def test_what_cannot_be_taken_stays_and_is_told_once_and_in_status(
    device: Device, server: Server, as_root: None, tmp_path: Path, kind: str, when: str
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
    program = device.run(before=powerless)
    if when == "while it runs":
        put()
        if kind in ("fifo", "socket", "directory", "symlink"):  # nobody closes or moves it: a scan has to find it
            device.reload(program)
    device.drop(1)
    server.wait_for_rows([1])
    told = program.log.wait_for("odd.pour stays where it is: ")
    assert ("remove it or rename it" in told) or ("chmod g+r" in told)
    wait_until(lambda: any("odd.pour" in one for one in device.status()["problems"]), "not in status")
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
    program = device.run()
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
    "year 2100": "0,5,8123,4102444800000",
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
    device: Device, server: Server
) -> None:
    bad: dict[str, bytes] = {}
    for suffix, lines in ((".pour", MALFORMED), (".reading", BAD_READINGS)):
        for name, line in lines.items():
            bad[name + suffix] = line if isinstance(line, bytes) else f"{line}\n".encode()
    for pulses, (name, data) in enumerate(bad.items(), 1):
        device.drop_text(data, name, age_s=1000 - pulses)
        device.drop(pulses, age_s=1000 - pulses)
    program = device.run()
    server.wait_for_rows(range(1, len(bad) + 1))
    wait_until(lambda: not device.waiting(), "some stay")
    for name, data in bad.items():
        assert (device.rejected / name).read_bytes() == data
        assert len(device.reason(name).split()) > 3, name
    assert set(server.rows().values()) == {1}
    assert len(program.log.lines("; it is kept in rejected/")) == len(bad)
    wait_until(lambda: device.status()["counters"]["rejected"] == len(bad), "not counted")
    assert f"{len(bad)} records rejected" in device.command("status").stdout


# 54

TORN_BY = """
import os, signal, sys
spool, suffix, line = sys.argv[1:]
files = [open(f"{spool}/{cut:02}{suffix}", "wb", buffering=0) for cut in range(len(line) + 1)]
for cut, file in enumerate(files):
    file.write(line[:cut].encode())
os.kill(os.getpid(), signal.SIGKILL)
"""
"""Writes a file in place for each length of the line, and dies with all of them open."""


@pytest.mark.case(54)
@V2_LATER
@pytest.mark.parametrize(
    ("suffix", "line"),
    [
        pytest.param(".pour", "0,586,8123,1700000000123", id="pour"),
        pytest.param(".pour", "3,160,8,1372686435", id="old producer's pour", marks=pytest.mark.slow),
        pytest.param(".reading", "28-0316a2795c5b,23125,1700000000123", id="reading", marks=pytest.mark.slow),
    ],
)
def test_of_a_line_that_a_dying_producer_tore_at_any_byte_only_the_whole_one_is_a_record(
    device: Device, server: Server, suffix: str, line: str
) -> None:
    program = device.run()
    dead = subprocess.run([sys.executable, "-c", TORN_BY, device.spool, suffix, line], check=False)
    assert dead.returncode == -9
    wait_until(lambda: not device.waiting(), "some stay")
    torn = [f"{cut:02}{suffix}" for cut in range(len(line))]
    assert sorted(path.name for path in device.rejected.glob(f"*{suffix}")) == torn
    for cut, name in enumerate(torn):
        assert (device.rejected / name).read_text() == line[:cut]
    assert "the line was torn or the clock was not set" in device.reason(torn[-1])
    program.log.wait_for(f"delivered {len(line)}{suffix}")
    asked = [one for one in server.asked() if one.pulses or set(one.temperatures) - {-1}]
    ((record,),) = [one.records for one in asked]
    whole_ms = line.split(",")[-1].ljust(13, "0")
    assert str(record.get("ts") or record.get("started_ms") or record.get("taken_ms")) == whole_ms
