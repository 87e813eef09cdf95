"""SIGKILL at every system call of the uploader between finding a file and unlinking it.

One undisturbed run under strace tells which calls there are. Then for each of them the program is started on
another spool like it, killed when it is about to make that call, and started again; in the end the books have
to be right. Meanwhile the server takes, refuses, and makes a producer drop more.
"""

import os
import re
import shutil
import signal
import time
from typing import Any

from bench import ONE_MS, Bench, Device, ViolationError, make_random, version_of, versions, wait_until
from ledger import Ledger, identify
from patience import STILL_S
from server import POISON, Server
from zygote import Zygote

DROPPED_MEANWHILE = 3
COMMANDS = ("send", "run")

QUIET_CALLS = frozenset(
    (
        *("brk", "madvise", "mmap", "mprotect", "munmap", "futex", "set_robust_list", "rseq", "sched_getaffinity"),
        *("getpid", "gettid", "geteuid", "getrandom", "rt_sigaction", "rt_sigprocmask", "lseek", "prlimit64", "uname"),
    )
)
"""What changes nothing that outlives the process: to be killed there is to be killed at the next one."""

_CALL = re.compile(rb"^(\d+) +[\d.]+ (\w+)\(")


def run(bench: Bench, seconds: float) -> None:
    started_s = time.monotonic()
    until_s = started_s + seconds
    tries = kills = turn = 0
    met: dict[str, int] = {}
    server = Server(bench.authority)
    with Zygote() as zygote:
        while time.monotonic() < until_s:
            case = {"command": COMMANDS[turn % 2], "version": version_of(turn // 2)}
            points = find_points(bench, server, zygote, case)
            bench.say(f"{case['command']} on {case['version']}: {len(points)} system calls to be killed at")
            make_random("crash", bench.seed, turn).shuffle(points)
            points.sort(key=lambda point: point[0] in QUIET_CALLS)
            # Each command and protocol gets its turn, however short the time is.
            share_s = seconds / len(COMMANDS) / len(versions())
            turn_ends_s = max(started_s + share_s * (turn + 1), time.monotonic() + 0.5)
            for call, count in points:
                if time.monotonic() > turn_ends_s:
                    break
                tries += 1
                if play(bench, server, zygote, {**case, "call": call, "count": count}):
                    kills += 1
                    met[call] = met.get(call, 0) + 1
            turn += 1
    server.stop()
    often = ", ".join(f"{call} {count}" for call, count in sorted(met.items(), key=lambda item: -item[1]))
    bench.say(f"{kills} kills in {tries} tries, every record where it belongs; at {often}")


def replay(bench: Bench, case: dict[str, Any]) -> None:
    server = Server(bench.authority)
    with Zygote() as zygote:
        play(bench, server, zygote, case)
    server.stop()


def find_points(bench: Bench, server: Server, zygote: Zygote, case: dict[str, Any]) -> list[tuple[str, int]]:
    """Each system call from the look into the spool to the last file's end, and its how-manieth it is in its thread."""
    stage = Stage(bench, server, zygote, case)
    trace = stage.directory / "trace"
    stage.deliver(case["command"], ["-o", str(trace)])
    points: list[tuple[str, int]] = []
    counts: dict[tuple[bytes, bytes], int] = {}
    inside, last = False, 0
    spool = str(stage.device.spool).encode()
    calls = [(match, line) for line in trace.read_bytes().splitlines() if (match := _CALL.match(line))]
    others = {match[1] for match, _ in calls if match[2] == b"execve"}
    for match, line in calls:
        if match[1] in others:  # what it started, such as ldconfig, is not the uploader
            continue
        key = match[1], match[2]
        counts[key] = counts.get(key, 0) + 1
        inside = inside or b'"' + spool + b'"' in line
        if inside:
            points.append((match[2].decode(), counts[key]))
        if match[2] in (b"unlink", b"unlinkat", b"rename", b"renameat", b"renameat2"):
            last = len(points)
    stage.finish()
    return list(dict.fromkeys(points[: last + 10]))


def play(bench: Bench, server: Server, zygote: Zygote, case: dict[str, Any]) -> bool:
    """Whether it was killed there."""
    stage = Stage(bench, server, zygote, case)
    strace = None
    if "call" in case:  # else nobody had to be killed for it to fail
        call = case["call"]
        strace = ["-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={case['count']}"]
    code = stage.deliver(case["command"], strace)
    stage.ledger.was_killed = True
    stage.finish()
    return code == -signal.SIGKILL


class Stage:
    """A device with a spool in which there is one of each, and the server for it."""

    def __init__(self, bench: Bench, server: Server, zygote: Zygote, case: dict[str, Any]) -> None:
        self.directory = bench.place("crash")
        self._case = case
        self._zygote = zygote
        self._server = server
        server.rows.clear()
        server.refused.clear()
        server.on_request = self._drop_meanwhile
        self.device = Device(self.directory / "root", server.url(case["version"]), bench.authority)
        self.ledger = Ledger(self.device.spool)
        self._count = self._dropped_meanwhile = 0
        self._drop_pour(586)
        self._drop(f"0,0,1,{ONE_MS}", None)
        self._drop_pour(POISON)
        self._count -= 1
        self._drop_pour(POISON)
        self._drop_pour(587)
        self._count -= 1
        self._drop_pour(587)
        self._drop_pour(588)
        (self.device.spool / "notes.txt").write_text("not a record\n")
        self.ledger.add_foreign("notes.txt")

    def deliver(self, command: str, strace: list[str] | None) -> int:
        """What ``command`` ended with; ``run`` is asked to end once there is nothing left to do."""
        child = self._zygote.start(self.device, command, strace=strace)
        try:
            if command == "run":
                wait_until(lambda: child.has_ended() or not self.device.waiting(list(self.ledger.foreign)), STILL_S)
                if not child.has_ended():
                    os.kill(child.pid, signal.SIGTERM)
            return child.wait(STILL_S)
        except TimeoutError:
            raise ViolationError(f"{command} does not end; {self.directory} is kept", self._case) from None

    def finish(self) -> None:
        """Start again, and once more for what was dropped when that had looked already; then look at the books."""
        for _ in range(1 + DROPPED_MEANWHILE):
            self.deliver("send", None)
            if not self.device.waiting(list(self.ledger.foreign)):
                break
        if faults := self.ledger.faults(self._server):
            where = f"killed at {self._case.get('call', 'no call')} number {self._case.get('count', 0)}"
            raise ViolationError(f"{where}: {'; '.join(faults[:5])}; {self.directory} is kept", self._case)
        shutil.rmtree(self.directory)

    def _drop_pour(self, pulses: int) -> None:
        self._count += 1
        line = f"0,{pulses},8123,{ONE_MS + self._count}"
        self._drop(line, identify(self.device.uuid, self._case["version"], line))

    def _drop(self, line: str, identity: str | None) -> None:
        name = f"0-{len(self.ledger.dropped)}.pour"
        temp = self.directory / name
        temp.write_text(line + "\n")
        temp.rename(self.device.spool / name)
        self.ledger.add(name, line.encode() + b"\n", identity)

    def _drop_meanwhile(self) -> None:
        with self._server.lock:
            if self._dropped_meanwhile == DROPPED_MEANWHILE:
                return
            self._dropped_meanwhile += 1
            self._drop_pour(600 + self._dropped_meanwhile)
