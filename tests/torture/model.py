"""The daemon as a real process among producers and a server that do whatever they like, by seeded schedules.

Hypothesis would draw and shrink these too, but it takes a run for a function of its input, and calls one that
fails only sometimes flaky; with processes, signals and inotify a fault that shows once in ten runs is a fault.
So a schedule is drawn by a seed, kept when it fails, and cut down by leaving steps out as long as it goes on to
fail. After each the server takes everything, the spool has to become quiet, and the books have to be right.
"""

import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from authority import Authority
from bench import Bench, Daemon, Device, ViolationError, figures, make_random, version_of, wait_until
from ledger import Ledger, identify
from patience import STILL_S
from resolver import Blackhole
from schedule import Scheduler, Step
from server import HOLD, MODES, Server

QUIET_S = 60.0
NUDGE_S = 1.5
"""How often, in the end, a reload makes the daemon try at once."""
CONNECT_S = 3.0
"""How much longer it is left alone where its first address leads nowhere: each connection takes its time then."""
MEET_S = 1.0
ROUND_S = 20.0
LONG_AGO_S = 1_600_000_000
WRITER_S = 8.0
"""A writer who pauses for ten seconds has finished, as far as anyone can tell; so none here does for so long."""
MORE_DESCRIPTORS = 6
MORE_THREADS = 4
SHRINK_TRIES = 25


def run(bench: Bench, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    number = dropped = steps = 0
    while number == 0 or time.monotonic() < until_s:
        case = draw(bench.seed, number)
        try:
            counted = play(bench, case)
        except ViolationError as error:
            bench.say(f"schedule {number} fails: {error}; cutting it down")
            raise ViolationError(str(error), shrink(bench, case)) from error
        dropped += counted
        steps += len(case["steps"])
        number += 1
        if number % 10 == 0:
            bench.say(f"{number} schedules, {steps} steps, {dropped} files dropped")
    bench.say(f"{number} schedules, {steps} steps, {dropped} files dropped: every one where it belongs")


def replay(bench: Bench, case: dict[str, Any]) -> None:
    play(bench, case)


def draw(seed: int, number: int) -> dict[str, Any]:
    """The ``number``-th schedule of this seed."""
    chance = make_random("model", seed, number)
    settling = number % 5 == 4
    steps = Scheduler(chance, number).draw(chance.randrange(10, 80), settling=settling)
    return {"version": version_of(number), "settling": settling, "steps": steps}


def shrink(bench: Bench, case: dict[str, Any]) -> dict[str, Any]:
    """A shorter schedule that fails too, as far as a few tries go."""
    steps, size, tries = case["steps"], max(1, len(case["steps"]) // 2), 0
    while tries < SHRINK_TRIES and size:
        for start in range(0, len(steps), size):
            fewer = {**case, "steps": steps[:start] + steps[start + size :]}
            tries += 1
            try:
                play(bench, fewer)
            except ViolationError:
                steps = fewer["steps"]
                break
            if tries == SHRINK_TRIES:
                break
        else:
            size //= 2
    return {**case, "steps": steps}


def play(bench: Bench, case: dict[str, Any]) -> int:
    """How many files were dropped; `ViolationError` when one of them is not where it belongs in the end."""
    directory = bench.place("model")
    stage = Stage(directory, bench.authority, case["version"])
    try:
        faults = stage.warm_up()
        if not faults:
            for step in case["steps"]:
                stage.do(step)
            faults = stage.settle(aged=not case["settling"], quiet_s=case.get("quiet_s", QUIET_S))
    finally:
        stage.close()
    if faults:
        raise ViolationError("; ".join(faults[:5]) + f"; {directory} is kept", case)
    _clear(directory)
    return len(stage.ledger.dropped)


class Stage:
    """A device, its daemon, its server and its producers."""

    def __init__(self, directory: Path, authority: Authority, version: str) -> None:
        self._version = version
        self._elsewhere = directory / "elsewhere"
        self._elsewhere.mkdir()
        self.server = Server(authority)
        self.blackhole = Blackhole(directory / "resolver")
        self.device = Device(
            directory / "root", self.server.url(version), authority, variables=self.blackhole.variables
        )
        self.ledger = Ledger(self.device.spool)
        self.daemon = Daemon(self.device)
        self._writers: list[tuple[BinaryIO, Step, float]] = []
        self._faults: list[str] = []

    def warm_up(self) -> list[str]:
        """One record, so that what the daemon takes up is known; what is wrong if that does not go."""
        self._drop(
            {"how": "rename", "name": "first.pour", "text": "0,1,1,1600000000000\n", "record": "0,1,1,1600000000000"}
        )
        if not wait_until(lambda: not self._waiting(), STILL_S):
            return [f"not even the first record goes: {self.device.tail()}"]
        self._before = figures(self.daemon.pid)
        return []

    def do(self, step: Step) -> None:
        match step["do"]:
            case "drop":
                self._drop(step)
            case "burst":
                for one in step["drops"]:
                    self._drop(one)
            case "half":
                self._half(step)
            case "rewrite":
                self._rewrite(step)
            case "finish":
                if self._writers:
                    self._finish(0)
            case "foreign":
                path = self.device.spool / step["name"]
                path.write_text(step["text"])
                self.ledger.add_foreign(step["name"])
            case "server":
                self.server.turn("accept" if step["mode"] == "flaky" else step["mode"])
                if step["mode"] == "flaky":
                    chance = make_random(step["seed"])
                    self.server.choose = lambda: chance.choice(MODES)
            case "first address":
                if step["what"] == "blackhole":
                    self.blackhole.open()
                else:
                    self.blackhole.shut()
            case "round":
                self._round(step)
            case "meet":
                self._meet(step)
            case "server process":
                if step["what"] in ("restart", "stop"):
                    self.server.stop()
                if step["what"] in ("restart", "start"):
                    self.server.start()
            case "daemon":
                self._steer(step["what"])
            case "wait":
                time.sleep(step["ms"] / 1000)
        self._finish_in_time()

    def settle(self, *, aged: bool, quiet_s: float = QUIET_S) -> list[str]:
        """The faults, once everything is allowed to go its way; ``aged`` saves the wait for what has to settle. A first
        address that leads nowhere stays: there is another one."""
        while self._writers:
            self._finish(0)
        self.server.start()
        self.server.turn("accept")
        self._steer("start")
        if aged:
            for name in self._waiting():
                with suppress(FileNotFoundError):
                    os.utime(self.device.spool / name, (LONG_AGO_S, LONG_AGO_S))
        until_s = time.monotonic() + quiet_s
        nudge_s = NUDGE_S if not self.blackhole.is_open else NUDGE_S + CONNECT_S
        while time.monotonic() < until_s:
            if not self.daemon.is_running():
                return [f"the daemon ended by itself with {self.daemon.process.returncode}: {self.device.tail()}"]
            self.daemon.reload()
            if wait_until(lambda: not self._waiting(), nudge_s):
                break
        faults = self._faults + self.ledger.faults(self.server) + self._growth()
        if code := self.daemon.stop():
            faults.append(f"the daemon ended with {code}")
        return faults

    def close(self) -> None:
        for writer, _, _ in self._writers:
            writer.close()
        if self.daemon.is_running():
            self.daemon.kill()
        self.server.stop()
        self.blackhole.close()

    def _waiting(self) -> list[str]:
        return self.device.waiting(list(self.ledger.foreign))

    def _growth(self) -> list[str]:
        def grown() -> list[str]:
            now = figures(self.daemon.pid)
            more = now.descriptors - self._before.descriptors, now.threads - self._before.threads
            grew = more[0] > MORE_DESCRIPTORS or more[1] > MORE_THREADS
            return [f"the daemon took {self._before} at first, {now} in the end"] if grew else []

        wait_until(lambda: not grown(), STILL_S)  # what a reload left behind may still be ending
        return grown()

    def _meet(self, step: Step) -> None:
        for one in step["drops"]:
            self._drop(one)
        self.server.start()
        self.server.turn(step["mode"])
        self._steer("start")
        before = self.server.requests
        self.daemon.reload()
        wait_until(lambda: self.server.requests > before or not self.daemon.is_running(), MEET_S)

    def _round(self, step: Step) -> None:
        """The daemon reads sensors that are equally warm: each reading is a record of its own, to REST v2 too."""
        self._steer("stop")
        self.server.stop()
        before = set(self._waiting())
        for sensor in step["sensors"]:
            self.device.plug(sensor, step["millidegrees"])
        self._steer("start")
        expected = len(step["sensors"]) if self._version == "v3" else 1  # the others cannot be told there
        wait_until(lambda: len(self._readings(before)) >= expected or not self.daemon.is_running(), ROUND_S)
        self._steer("stop")
        for sensor in step["sensors"]:
            shutil.rmtree(self.device.root / "w1" / sensor)
        lines = {name: (self.device.spool / name).read_text() for name in self._readings(before)}
        for name, line in lines.items():
            self.ledger.add(name, line.encode(), self._identity({"record": line.rstrip("\n")}))
        if len({line.partition(",")[2] for line in lines.values()}) < len(lines):
            self._faults.append(f"readings of one round are one record to REST v2: {sorted(lines.values())}")
        self.server.start()
        self._steer("start")

    def _readings(self, before: set[str]) -> set[str]:
        return {name for name in set(self._waiting()) - before if name.endswith(".reading")}

    def _rewrite(self, step: Step) -> None:
        name, (first, second) = step["name"], step["lines"]
        self.server.start()
        self.server.turn(HOLD)
        self._steer("start")
        before = self.server.requests
        self._drop({"how": "rename", "name": name, "text": first + "\n", "record": first})
        self.daemon.reload()
        wait_until(lambda: self.server.requests > before or not self.daemon.is_running(), MEET_S)
        path = self.device.spool / name
        with suppress(FileNotFoundError):  # another record of this name was under way, and this one went before it
            status = path.stat()
            with path.open("r+b", buffering=0) as file:
                file.write(second.encode("ascii"))
                os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
            # The first one may have been written over before it was sent.
            self.ledger.replaced.add(str(self._identity({"record": first})))
            self.ledger.add(name, second.encode("ascii") + b"\n", self._identity({"record": second}))
        self.server.turn("accept")

    def _identity(self, step: Step) -> str | None:
        return step["record"] and identify(self.device.uuid, self._version, step["record"])

    def _drop(self, step: Step) -> None:
        name, data = step["name"], step["text"].encode("ascii")
        path = self.device.spool / name
        if path.exists():
            stem, _, suffix = name.rpartition(".")
            name = f"{stem}-again{len(self.ledger.dropped)}.{suffix}"
            path = self.device.spool / name
        self.ledger.add(name, data, self._identity(step))
        match step["how"]:
            case "rename" | "cp":
                source = self._elsewhere / "one"
                source.write_bytes(data)
                if step["how"] == "rename":
                    source.rename(path)
                else:
                    _copy(source, path)
            case "in place":
                path.write_bytes(data)
            case "killed":
                _write_and_be_killed(path, data)
            case "in pieces":
                with path.open("wb", buffering=0) as file:
                    for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
                        file.write(piece)
                        time.sleep(0.01)

    def _half(self, step: Step) -> None:
        writer = (self.device.spool / step["name"]).open("wb", buffering=0)
        writer.write(step["head"].encode("ascii"))
        self._writers.append((writer, step, time.monotonic()))

    def _finish(self, index: int) -> None:
        writer, step, since_s = self._writers.pop(index)
        identity = self._identity(step)
        if identity and time.monotonic() - since_s > WRITER_S:
            self.server.refused.add(identity)  # on a busy machine it may count as finished, so as no record, by now
        if step["left"]:
            self.ledger.add(step["name"], step["head"].encode("ascii"), None)
        else:
            writer.write(step["tail"].encode("ascii"))
            self.ledger.add(step["name"], (step["head"] + step["tail"]).encode("ascii"), identity)
        writer.close()

    def _finish_in_time(self) -> None:
        while self._writers and time.monotonic() - self._writers[0][2] > WRITER_S / 2:
            self._finish(0)

    def _steer(self, what: str) -> None:
        if what in ("stop", "restart"):
            self.daemon.stop()
        elif what == "kill" and self.daemon.is_running():
            self.daemon.kill()
            self.ledger.was_killed = True
        if what in ("start", "restart") and not self.daemon.is_running():
            self.daemon = Daemon(self.device)
        elif what == "reload" and self.daemon.is_running():
            self.daemon.reload()


def _copy(source: Path, target: Path) -> None:
    """As cp does it."""
    with source.open("rb") as old, target.open("wb", buffering=0) as new:
        os.copy_file_range(old.fileno(), new.fileno(), source.stat().st_size)


def _write_and_be_killed(target: Path, data: bytes) -> None:
    """A producer of its own, which writes in place and is killed by SIGKILL with ``data`` of its line written."""
    writer = subprocess.Popen(
        ["/bin/sh", "-c", 'exec 3>"$0"; head -c "$1" >&3; echo; read more', target, str(len(data))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with writer:
        if writer.stdin is None or writer.stdout is None:
            raise RuntimeError("it has no pipes")
        writer.stdin.write(data)
        writer.stdin.flush()
        writer.stdout.readline()  # what it got is written
        writer.kill()


def _clear(directory: Path) -> None:
    """Remove what nobody needs to look at."""
    with suppress(FileNotFoundError):
        for path in sorted(directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        directory.rmdir()
