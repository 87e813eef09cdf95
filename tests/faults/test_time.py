"""Faults of the clock, which is the process's alone: libfaketime stands between it and the machine's."""

import os
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from ..support.device import Device
from ..support.program import Program
from ..support.waits import wait_until
from .known import KEPT
from .misbehaving_server import Serve, Server
from .versions import BOTH, V2_LATER

YEAR_S = 365 * 86400
CHECK_S = 60.0
"""How often the daemon looks whether its clock was set."""


class WrongClock:
    """What a process sees on the wall while all that it measures with goes on as it is."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.variables = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, offset_s: float) -> None:
        """So many seconds from the right time, at once and as one change."""
        temp = self._file.with_suffix(".new")
        temp.write_text(f"{offset_s:+.0f}\n")
        temp.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> WrongClock:
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        pytest.skip("takes what Debian calls faketime")
    return WrongClock(libraries[0], tmp_path / "faketime")


def epoch_s() -> float:
    """How far a clock is from the right time that stands in the first hours of 1970-01-02, however it is rounded."""
    return 90000 - time.time()


@pytest.mark.case(36)
@V2_LATER
def test_with_the_clock_in_1970_everything_waits_no_reading_is_taken_and_a_line_names_the_clock(
    device: Device, server: Server, clock: WrongClock
) -> None:
    clock.set(epoch_s())
    device.plug()
    device.configure(ping_interval_s="1")
    device.drop(1)
    program = device.run(variables=clock.variables)
    told = program.log.wait_for(KEPT)
    assert "certificate is not valid yet: this clock says 1970-01-02 " in told
    assert "set it if that is wrong" in told
    program.log.wait_for("temperatures wait for the clock, pours go on: this machine's clock stands before 20")
    wait_until(lambda: any("clock" in one for one in device.status()["problems"]), "not in status")
    assert device.waiting() == ["000001.pour"]
    refused = device.command(
        "pour", "--pin", "0", "--pulses", "5", "--elapsed-ms", "1", before=["env", *pairs(clock.variables)]
    )
    assert (refused.returncode, "clock stands before" in refused.stderr) == (75, True)
    assert server.asked() == []
    # Once it is set, all goes, and only then is a temperature taken.
    clock.set(0)
    device.reload(program)
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")
    assert len(program.log.lines(KEPT)) == 1
    assert len(program.log.lines("temperatures wait for the clock")) == 1


def pairs(variables: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]


@pytest.mark.case(36)
@pytest.mark.slow
@BOTH
def test_once_the_clock_is_set_all_goes_unaided_and_no_reading_has_a_false_time(
    device: Device, server: Server, clock: WrongClock
) -> None:
    clock.set(epoch_s())
    device.plug()
    device.configure(ping_interval_s="1")
    for pulses in (1, 2, 3):
        device.drop(pulses)
    program = device.run(variables=clock.variables)
    program.log.wait_for("this clock says 1970-01-02 ")
    program.log.wait_for("temperatures wait for the clock")
    clock.set(0)
    server.wait_for_rows([1, 2, 3], timeout_s=2 * CHECK_S)
    program.log.wait_for("this machine's clock was set; trying again at once")
    program.log.wait_for("the clock is right now, temperatures go on", timeout_s=2 * CHECK_S)
    server.wait_until(lambda asked: 23125 in asked.temperatures)
    taken = [int(record["taken_ms"] if "taken_ms" in record else record["ts"]) for record in readings(server)]
    assert all(abs(one / 1000 - time.time()) < 300 for one in taken)
    wait_until(lambda: not [name for name in device.waiting() if name.endswith(".pour")], "files stay")


def readings(server: Server) -> list[dict[str, str]]:
    return [
        record
        for asked in server.asked()
        for record in asked.records
        if "sensor" in record or record.get("temp", "-1") != "-1"
    ]


@pytest.mark.case(36)
@V2_LATER
def test_hours_behind_after_a_boot_no_reading_is_taken_until_the_kernel_vouches_for_the_clock(
    device: Device, server: Server, clock: WrongClock, as_root: None
) -> None:
    clock.set(-5 * 3600)
    device.plug()
    device.configure(ping_interval_s="1")
    uptime_s = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    just_booted = ["unshare", "--time", "--boottime", str(10 - uptime_s), "--fork", "--kill-child"]
    # What this machine's kernel thinks of its clock is not to be known.
    unknown = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=adjtimex,clock_adjtime:error=EPERM"]
    program = device.run(before=[*just_booted, *unknown], variables=clock.variables)
    program.log.wait_for("temperatures wait for the clock, pours go on: this machine has just started")
    device.drop(1)
    server.wait_for_rows([1])
    assert readings(server) == []
    assert [name for name in device.waiting() if name.endswith(".reading")] == []
    assert program.process.poll() is None


@pytest.mark.case(37)
@V2_LATER
@pytest.mark.parametrize("by_s", [pytest.param(YEAR_S, marks=pytest.mark.slow), -YEAR_S])
def test_a_jump_by_a_year_is_no_matter_to_a_timer(device: Device, serve: Serve, clock: WrongClock, by_s: int) -> None:
    server = serve(None, host="127.0.0.1")  # a certificate would not hold for so long
    device.configure(base=server.url, ping_interval_s="1")
    device.plug()
    clock.set(2 * YEAR_S)
    program = device.run(variables=clock.variables)
    server.wait_until(lambda asked: 23125 in asked.temperatures)
    clock.set(2 * YEAR_S + by_s)
    before = len(server.asked())
    jumped_s = time.monotonic()
    server.wait_until(lambda asked: 23125 in asked.temperatures and server.asked().index(asked) >= before, count=3)
    assert time.monotonic() - jumped_s < 20, "a timer waits for a time that is far away"
    device.drop(1)
    server.wait_for_rows([1])
    # So is a wait for the server.
    left = [(503, ["Retry-After: 2"], b"")]
    server.answer = lambda asked: left.pop() if left and 2 in asked.pulses else 200
    device.drop(2)
    server.wait_for(2)
    clock.set(2 * YEAR_S)
    server.wait_for_rows([2])
    one, other = server.asked(2)
    assert other.at_s - one.at_s >= 2
    wait_until(lambda: not [name for name in device.waiting() if name.endswith(".pour")], "files stay")
    assert program.process.poll() is None


@pytest.mark.case(37)
@pytest.mark.parametrize("by_s", [pytest.param(YEAR_S, marks=pytest.mark.slow), -YEAR_S])
@pytest.mark.parametrize(
    "how",
    [
        "scan",
        "reload",
    ],
)
def test_a_jump_by_a_year_makes_no_half_written_file_whole(
    device: Device, serve: Serve, clock: WrongClock, by_s: int, how: str
) -> None:
    server = serve(None, host="127.0.0.1")  # a certificate would not hold for so long
    device.configure(base=server.url)
    clock.set(0)
    program = device.run(variables=clock.variables)
    with (device.spool / "slow.pour").open("w") as writer:
        writer.write("0,586,86,1700000000")  # so far a whole line, of an old producer that counts seconds
        writer.flush()
        clock.set(by_s)
        device.drop(1)
        server.wait_for_rows([1])
        if how == "reload":
            device.reload(program)
        device.drop(2, name=os.fsdecode(b"caf\xe9.pour"))  # what is announced with it is lost, and so looked for
        device.drop(3)
        server.wait_for_rows([2, 3])
        assert server.asked(586) == []
        writer.write("123\n")
    server.wait_for_rows([586])
    ((record,),) = [one.records for one in server.asked(586)]
    assert str(record.get("ts", record.get("started_ms"))) == "1700000000123"


@pytest.mark.case(38)
@V2_LATER
@pytest.mark.parametrize("status", [401, pytest.param(403, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("minutes", "side"), [(-60, "60 min ahead of"), (60, "60 min behind")])
def test_a_refusal_by_a_server_of_another_time_is_told_as_clock_skew_and_keeps_all(
    device: Device, server: Server, status: int, minutes: int, side: str
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    server.answer = lambda _: (status, [f"Date: {date}"], b"")
    device.drop(1)
    program = device.run()
    told = program.log.wait_for(KEPT)
    assert f"this clock is {side} the server's; set it (timedatectl)" in told
    assert device.waiting() == ["000001.pour"]
    _after_that_it_goes(device, server, program)


@pytest.mark.case(38)
def test_a_refusal_by_a_server_of_the_same_time_is_not(device: Device, server: Server) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=4), usegmt=True)
    server.answer = lambda _: (401, [f"Date: {date}"], b"")
    device.drop(1)
    program = device.run()
    assert "register the uuid and the public key there" in program.log.wait_for(KEPT)


def _after_that_it_goes(device: Device, server: Server, program: Program) -> None:
    server.answer = lambda _: 200
    device.reload(program)
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")
