"""SIGKILL at every system call of the uploader between finding a file and unlinking it.

One undisturbed run under strace tells which calls there are. Then for each of them the program is started on
another spool like it, killed when it is about to make that call, and started again; in the end the books have
to be right. Meanwhile the server takes, refuses, and makes a producer drop more.

Each is done with KegNet alone, and with a Kegbot server beside it, to which a second post is a second drink.
"""

import os
import re
import shutil
import signal
import time
from contextlib import closing
from typing import Any

from bench import ONE_MS, Bench, Device, ViolationError, make_random, version_of, versions, wait_until
from ledger import Ledger, identify
from patience import STILL_S
from second_sink import Servers, add_kegbot, give_away, give_to_producer, pours_in, say_what_is_missing, waiting
from server import POISON
from zygote import Zygote

DROPPED_MEANWHILE = 3
TURNS = (("send", 1), ("send", 2), ("run", 1), ("run", 2))
"""A command, and to how many sinks it delivers."""

QUIET_CALLS = frozenset(
    (
        *("brk", "madvise", "mmap", "mprotect", "munmap", "futex", "set_robust_list", "rseq", "sched_getaffinity"),
        *("getpid", "gettid", "geteuid", "getrandom", "rt_sigaction", "rt_sigprocmask", "lseek", "prlimit64", "uname"),
    )
)
"""What changes nothing that outlives the process: to be killed there is to be killed at the next one."""

_CALL = re.compile(rb"^(\d+) +[\d.]+ (\w+)\(")


def run(bench: Bench, seconds: float) -> None:
    tries = kills = turn = 0
    met: dict[str, int] = {}
    by_sinks = {1: 0, 2: 0}
    say_what_is_missing(bench)
    with closing(Servers(bench)) as servers, closing(Zygote()) as zygote:
        started_s = time.monotonic()
        until_s = started_s + seconds
        while time.monotonic() < until_s:
            command, sinks = TURNS[turn % len(TURNS)]
            case = {"command": command, "version": version_of(turn // len(TURNS)), "sinks": sinks}
            points = find_points(bench, servers, zygote, case)
            where = f"{command} on {case['version']} to {sinks} sink{'s'[: sinks - 1]}"
            bench.say(f"{where}: {len(points)} system calls to be killed at")
            make_random("crash", bench.seed, turn).shuffle(points)
            points.sort(key=lambda point: point[0] in QUIET_CALLS)
            # Each of them gets its turn, however short the time is.
            share_s = seconds / len(TURNS) / len(versions())
            turn_ends_s = max(started_s + share_s * (turn + 1), time.monotonic() + 0.5)
            for call, count in points:
                if time.monotonic() > turn_ends_s:
                    break
                tries += 1
                if play(bench, servers, zygote, {**case, "call": call, "count": count}):
                    kills += 1
                    by_sinks[sinks] += 1
                    met[call] = met.get(call, 0) + 1
            turn += 1
    often = ", ".join(f"{call} {count}" for call, count in sorted(met.items(), key=lambda item: -item[1]))
    bench.say(
        f"{kills} kills ({by_sinks[2]} with two sinks) in {tries} tries, every record where it belongs; at {often}"
    )


def replay(bench: Bench, case: dict[str, Any]) -> None:
    """A case that says only ``at`` which system call is that at each of these."""
    with closing(Servers(bench)) as servers, closing(Zygote()) as zygote:
        if "at" not in case:
            play(bench, servers, zygote, case)
            return
        points = [point for point in find_points(bench, servers, zygote, case) if point[0] == case["at"]]
        make_random("crash", bench.seed).shuffle(points)
        for call, count in points:
            play(bench, servers, zygote, {**case, "call": call, "count": count})


def find_points(bench: Bench, servers: Servers, zygote: Zygote, case: dict[str, Any]) -> list[tuple[str, int]]:
    """Each system call from the look into the spool to the last file's end, and its how-manieth it is in its thread."""
    stage = Stage(bench, servers, zygote, case)
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


def play(bench: Bench, servers: Servers, zygote: Zygote, case: dict[str, Any]) -> bool:
    """Whether it was killed there."""
    stage = Stage(bench, servers, zygote, case)
    strace = None
    if "call" in case:  # else nobody had to be killed for it to fail
        call = case["call"]
        strace = ["-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={case['count']}"]
    code = stage.deliver(case["command"], strace)
    stage.ledger.was_killed = True
    stage.finish()
    return code == -signal.SIGKILL


class Stage:
    """A device with a spool in which there is one of each, and the servers for it."""

    def __init__(self, bench: Bench, servers: Servers, zygote: Zygote, case: dict[str, Any]) -> None:
        self.directory = bench.place("crash")
        self._case = case
        self._zygote = zygote
        self._server = server = servers.kegnet
        self._kegbot = servers.kegbot if case.get("sinks") == 2 else None
        server.rows.clear()
        server.refused.clear()
        server.on_request = self._drop_meanwhile
        self.device = Device(self.directory / "root", server.url(case["version"]), bench.authority)
        if self._kegbot is not None:
            self._kegbot.reset()
            add_kegbot(self.device, self._kegbot)
            give_away(self.device, (bench.directory, self.directory))
        self.ledger = Ledger(self.device.spool, fans_out=self._kegbot is not None)
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
                wait_until(lambda: child.has_ended() or not waiting(self.device, self.ledger.foreign), STILL_S)
                if not child.has_ended():
                    os.kill(child.pid, signal.SIGTERM)
            return child.wait(STILL_S)
        except TimeoutError:
            raise ViolationError(f"{command} does not end; {self.directory} is kept", self._case) from None

    def finish(self) -> None:
        """Start again, and once more for what was dropped when that had looked already; then look at the books."""
        for _ in range(1 + DROPPED_MEANWHILE):
            self.deliver("send", None)
            if not waiting(self.device, self.ledger.foreign):
                break
        faults = self.ledger.faults(self._server)
        if self._kegbot is not None:
            faults += self._kegbot.faults(self.device.uuid, pours_in(self.ledger))
        if faults:
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
        if self._kegbot is not None:
            give_to_producer(temp)
        temp.rename(self.device.spool / name)
        self.ledger.add(name, line.encode() + b"\n", identity)

    def _drop_meanwhile(self) -> None:
        with self._server.lock:
            if self._dropped_meanwhile == DROPPED_MEANWHILE:
                return
            self._dropped_meanwhile += 1
            self._drop_pour(600 + self._dropped_meanwhile)
