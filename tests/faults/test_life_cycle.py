"""Faults in the life of the process: how it ends, what it hangs on, and ten thousand failures."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ..support.device import Device
from ..support.program import Program
from ..support.waits import wait_until
from ..support.watchdog import WATCHDOG_S, wait_until_fed, watched
from .misbehaving_server import Asked, Server
from .versions import BOTH, V2_LATER, slowly

KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}
NO_WAITS = """
import random, sys
random.random = lambda: 0.0
from kegnet_client.cli import main
sys.exit(main(sys.argv[2:]))
"""
"""The program, but that it never waits between two tries."""


# 43


@pytest.mark.case(43)
@BOTH
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("stored", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.alone
def test_a_stop_in_the_middle_of_a_request_takes_two_seconds_at_most_and_the_resend_is_no_second_row(
    device: Device, server: Server, number: signal.Signals, stored: bool
) -> None:
    def hang(asked: Asked) -> int:
        if asked.pulses and len(server.asked(1)) == 1:
            if stored:
                server.store(asked)
            server.released.wait()
        return 200

    server.answer = hang
    device.drop(1)
    program = device.run()
    server.wait_for(1)
    code, took_s = program.stop(number)
    assert code == 0
    assert took_s < 2
    assert device.waiting() == ["000001.pour"]
    server.answer = lambda _: 200
    device.run()
    server.wait_for(1, count=2)
    wait_until(lambda: not device.waiting(), "files stay")
    assert server.rows() == {1: 2 if stored else 1}


# 44


def killed_at(call: str, time: int, where: Path | None = None) -> list[str | Path]:
    """What starts a program that ends by SIGKILL as it does ``call`` for the so-manieth time (in a thread), counting
    only those on ``where``."""
    only: list[str | Path] = ["-P", where] if where else []
    return ["strace", "-f", "-qq", "-o", "/dev/null", *only, "-e", f"inject={call}:signal=KILL:when={time}"]


def is_one_row_each(device: Device, server: Server, pulses: Sequence[int]) -> None:
    """After all that was done to it, a run that nobody disturbs."""
    program = device.run()
    server.wait_for_rows(pulses)
    wait_until(lambda: not device.waiting(), "files stay")
    assert program.stop()[0] == 0
    assert sorted(server.rows()) == sorted(pulses)


def is_killed_or_done(device: Device, program: Program) -> bool:
    return program.process.poll() is not None or not device.waiting()


SOME_STEPS = [
    *(("openat", 3), ("newfstatat", 2), ("unlinkat", 1), ("unlinkat", 2)),
    *(("mkdirat", 1), ("fsync", 1), ("fsync", 2), ("renameat", 1), ("renameat", 2)),
]
ALL_STEPS = [
    (call, time)
    for call in ("openat", "newfstatat", "getdents64", "unlinkat", "mkdirat", "fsync", "renameat")
    for time in range(1, 9)
]


@pytest.mark.case(44)
@V2_LATER
@pytest.mark.parametrize("steps", [SOME_STEPS, pytest.param(ALL_STEPS, marks=pytest.mark.slow)], ids=["some", "all"])
def test_a_kill_at_any_step_on_the_spool_loses_nothing_and_doubles_nothing(
    device: Device, server: Server, steps: list[tuple[str, int]]
) -> None:
    killed = 0
    for number, (call, when) in enumerate(steps):
        device.drop(2 * number + 1)
        device.drop(2 * number + 2)
        device.drop_text(f"bad {number}\n", f"bad{number}.pour", age_s=60)
        program = device.start(before=killed_at(call, when, device.spool))
        wait_until(partial(is_killed_or_done, device, program), "neither killed nor done")
        killed += program.process.poll() is not None
        program.close()
    print(f"killed at {killed} of {len(steps)} steps")
    assert killed >= len(SOME_STEPS) // 2
    is_one_row_each(device, server, range(1, 2 * len(steps) + 1))
    for number in range(len(steps)):
        assert (device.rejected / f"bad{number}.pour").read_text() == f"bad {number}\n"
        assert device.reason(f"bad{number}.pour")
    # A kill between the reason and the move leaves a reason alone.
    assert len([path for path in device.rejected.glob("*.pour*") if ".reason" not in path.name]) == len(steps)


@pytest.mark.case(44)
@V2_LATER
@pytest.mark.parametrize("when", ["before the answer", "after the answer", *slowly("before it is stored")])
def test_a_kill_around_the_answer_loses_nothing_and_doubles_nothing(device: Device, server: Server, when: str) -> None:
    running: list[Program] = []

    def answer(asked: Asked) -> object:
        if not asked.pulses:
            return 200
        if when != "before it is stored":
            server.store(asked)
        if when != "after the answer":
            running[-1].signal(signal.SIGKILL)
            return lambda _: None

        def answer_and_kill(stream: socket.socket) -> None:
            body = asked.acknowledgement()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            stream.sendall(head.encode() + body)
            running[-1].signal(signal.SIGKILL)

        return answer_and_kill

    for pulses in range(1, 5):
        running.append(device.run())
        server.answer = answer  # type: ignore[assignment]  # the connection of a killed client takes no answer
        device.drop(pulses)
        running[-1].process.wait(30)
        server.answer = lambda _: 200
    is_one_row_each(device, server, range(1, 5))


@pytest.mark.case(44, 45)
def test_a_kill_at_any_step_of_a_producer_leaves_a_whole_record_or_none(device: Device, server: Server) -> None:
    steps = [("openat", 2), ("fchmod", 1), ("write", 1), ("fsync", 1), ("renameat", 1), ("fsync", 2), ("write", 2)]
    for pulses, (call, when) in enumerate(steps, 1):
        where = device.spool if call == "openat" else None
        arguments = (
            "pour",
            "--pin",
            "0",
            "--pulses",
            f"{pulses}",
            "--elapsed-ms",
            "1",
            "--started-ms",
            "1700000000000",
        )
        assert device.command(*arguments, before=killed_at(call, when, where)).returncode in KILLED
    lines = [(device.spool / name).read_text() for name in device.waiting()]
    # The rename is what makes it a record.
    assert sorted(lines) == [f"0,{pulses},1,1700000000000\n" for pulses in (6, 7)]
    is_one_row_each(device, server, [6, 7])


# 45


@pytest.mark.case(45)
def test_a_producer_says_that_a_pour_is_spooled_after_file_and_directory_are_on_disk(
    device: Device, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    calls = "fsync,fdatasync,rename,renameat,renameat2,write"
    arguments = ("pour", "--pin", "0", "--pulses", "5", "--elapsed-ms", "1", "--started-ms", "1700000000000")
    done = device.command(*arguments, before=("strace", "-f", "-y", "-o", trace, "-e", f"trace={calls}"))
    assert done.returncode == 0, done.stderr
    spool = re.escape(str(device.spool))
    steps = [
        rf'write\(\d+<{spool}/\.[^>]+\.tmp>, "0,5,1,1700000000000\\n"',
        rf"fsync\(\d+<{spool}/\.[^>]+\.tmp>",
        r"rename",
        rf"fsync\(\d+<{spool}>",
        r"write\(1<",
    ]
    text = trace.read_text()
    position = 0
    for step in steps:
        match = re.compile(step).search(text, position)
        assert match, f"{step} is not where it has to be:\n{text}"
        position = match.end()


@pytest.mark.case(45)
def test_a_rejected_record_and_its_reason_are_on_disk_before_it_leaves_the_spool(
    device: Device, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    device.drop_text("bad\n", "bad.pour", age_s=60)
    calls = "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
    program = device.run(before=["strace", "-f", "-y", "-o", str(trace), "-e", f"trace={calls}"])
    program.log.wait_for("rejected bad.pour")
    assert program.stop()[0] == 0
    text = trace.read_text()
    steps = [
        r"fsync\(\d+<[^>]*/rejected/\.[^>]*>",
        r'"bad.pour.reason"\)',
        r"fsync\(\d+<[^>]*/rejected>",
        r'"bad.pour"\)',
    ]
    position = 0
    for step in steps:
        match = re.compile(step).search(text, position)
        assert match, f"{step} is not where it has to be:\n{text}"
        position = match.end()
    assert re.compile(r"fsync\(\d+<[^>]*/spool>").search(text, position)
    assert "unlink" not in "".join(line for line in text.splitlines() if "bad.pour" in line)


@pytest.mark.case(45)
@V2_LATER
def test_what_a_power_cut_leaves_is_started_upon(device: Device, server: Server) -> None:
    left = {
        ".0123.tmp": b"0,5,8123,17000",  # enqueue, before its rename
        "zero.pour": b"",  # a shell's mv without sync: the name is on disk, the bytes are not
        "zeros.pour": bytes(24),
        "twin.pour": b"bad\n",  # its reason is on disk, its move is not
    }
    for name, data in left.items():
        device.drop_text(data, name, age_s=60)
    device.rejected.mkdir()
    (device.rejected / "twin.pour.reason").write_text("2026-01-01T00:00:00+00:00 bad\n")
    (device.rejected / ".4567.tmp").write_text("2026-01-01T0")
    (device.root / ".state").mkdir()
    (device.root / ".state" / "state.json").write_bytes(bytes(100))
    device.drop(1)
    device.run()
    server.wait_for_rows([1])
    wait_until(lambda: not device.waiting(), "files stay")
    for name in ("zero.pour", "zeros.pour", "twin.pour"):
        assert (device.rejected / name).read_bytes() == left[name]
        assert device.reason(name)
    assert (device.spool / ".0123.tmp").read_bytes() == left[".0123.tmp"]
    assert device.status()["counters"]["accepted"] >= 1


# 46, 47


@pytest.mark.case(46)
def test_the_watchdog_is_not_fed_while_the_thread_that_delivers_stands_still(device: Device, server: Server) -> None:
    with watched(device) as (program, supervisor):
        device.drop(1)
        server.wait_for_rows([1])
        wait_until_fed(supervisor, 3)
        wait_until(lambda: len(delivering_threads(program)) == 1, "nobody waits for inotify")
        (thread,) = delivering_threads(program)
        hold = ["strace", "-qq", "-o", "/dev/null", "-p", thread, "-e", "inject=all:delay_enter=600s"]
        with subprocess.Popen(hold) as holder:
            status = Path(f"/proc/{thread}/status")
            wait_until(lambda: "TracerPid:\t0" not in status.read_text(), "strace does not hold it")
            held_s = time.monotonic()
            supervisor.settimeout(4 * WATCHDOG_S)
            with contextlib.suppress(TimeoutError):
                while supervisor.recv(4096):
                    assert time.monotonic() - held_s < 20, "it is fed"
            # As systemd does it; a thread that is held cannot die.
            os.kill(program.pid, signal.SIGABRT)
            holder.terminate()
        program.log.wait_for("Fatal Python error: Aborted")
        program.log.wait_for('uploader.py", line')
        program.process.wait(30)
    # What it says then is where it stood; the record's fate is the restart's.
    device.drop(2)
    device.run()
    server.wait_for_rows([2])


def delivering_threads(program: Program) -> list[str]:
    """Those that wait for inotify."""
    tasks = Path(f"/proc/{program.pid}/task").iterdir()
    return [task.name for task in tasks if "poll" in (task / "wchan").read_text()]


@pytest.mark.case(47)
@pytest.mark.parametrize("log", ["terminal", "syslog", "journal"])
def test_it_goes_on_with_its_log_gone(device: Device, server: Server, as_root: None, tmp_path: Path, log: str) -> None:
    devices = tmp_path / "dev"
    devices.mkdir()
    for name, minor in (("null", 3), ("zero", 5), ("urandom", 9)):
        os.mknod(devices / name, 0o020666, os.makedev(1, minor))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        match log:
            case "terminal":
                os.mkfifo(tmp_path / "pipe")
                reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
                inside = f'mount --bind {devices} /dev && exec "$0" "$@" 2>{tmp_path}/pipe'
            case "syslog":
                syslog.bind(str(devices / "log"))
                syslog.settimeout(30)
                inside = f'mount --bind {devices} /dev && exec "$0" "$@" 2>/dev/null'
            case _:
                stream = f"JOURNAL_STREAM=$(stat -L -c %d:%i {tmp_path}/stderr)"
                inside = f'exec 2>{tmp_path}/stderr; {stream} exec "$0" "$@"'
        program = device.start(before=("unshare", "-m", "sh", "-c", inside))
        device.drop(1)
        server.wait_for_rows([1])
        if log == "terminal":
            os.close(reader)
        if log == "syslog":
            assert b"kegnet-client[" in syslog.recv(4096)
    wait_until(lambda: not device.waiting(), "files stay")
    # From here on nobody listens.
    for pulses in range(2, 12):
        device.drop(pulses)
        device.drop_text("bad\n", f"bad{pulses}.pour")
    server.wait_for_rows(range(1, 12))
    wait_until(lambda: not device.waiting(), "files stay")
    assert device.status()["counters"]["rejected"] == 10
    if log == "syslog":
        # Once it is there again, it hears the next line.
        (devices / "log").unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
            syslog.bind(str(devices / "log"))
            syslog.settimeout(30)
            device.drop(12)
            while b"delivered 000012.pour" not in syslog.recv(4096):
                pass
    assert program.stop()[0] in (0, 120)  # the latter is how Python says that nobody took its last words


# 48


def and_close(data: bytes) -> Callable[[socket.socket], None]:
    def answer(stream: socket.socket) -> None:
        stream.sendall(data)
        stream.close()

    return answer


@pytest.mark.case(48)
@pytest.mark.slow
@BOTH
def test_ten_thousand_failures_leave_descriptors_threads_and_memory_as_they_were(
    device: Device, server: Server
) -> None:
    failures = 10_000
    kinds: list[Any] = [
        500,
        503,
        (429, ["Retry-After: 0"], b"later"),
        (500, [], b"x" * 200_000),
        and_close(b""),
        and_close(b"this is not HTTP\r\n\r\n"),
        and_close(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut"),
        and_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ]
    server.answer = lambda _: kinds[len(server.asked()) % len(kinds)]
    for pulses in range(1, 51):
        device.drop(pulses)
    program = device.run(before=(sys.executable, "-c", NO_WAITS))

    def measure() -> tuple[int, int, int]:
        process = Path(f"/proc/{program.pid}")
        return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir())), program.memory_kb()

    samples = []
    for part in (1, 2, 5, 10):
        server.wait_until(lambda _: True, count=failures * part // 10, timeout_s=600)
        program.signal(signal.SIGSTOP)  # between two tries or in one: that may make a difference of a few descriptors
        samples.append(measure())
        program.signal(signal.SIGCONT)
    print(f"after {failures // 10} to {failures} failures: descriptors, threads, KiB: {samples}")
    descriptors, threads, memory_kb = zip(*samples, strict=True)
    assert max(descriptors) - min(descriptors) <= 4
    assert max(threads) - min(threads) <= 1
    assert memory_kb[-1] - memory_kb[0] < 2048
    server.answer = lambda _: 200
    device.reload(program)
    server.wait_for_rows(range(1, 51))
    wait_until(lambda: not device.waiting(), "files stay")
    assert len(program.log.lines()) < 200, "a line a failure"
