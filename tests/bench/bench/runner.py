"""The runner: a document that is saved until its program runs, many changes with kills and cuts, and fifty at rest."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.operators import MAC_ID, Operator, command, program
from tests.support.small_couch import SmallCouch

from .contestants import PROGRAM
from .process import NoFigureError, Process
from .results import Aim, Row
from .run import Run

PATIENCE_S = 120.0
LOOK_S = 0.01
AT_REST = 50
CHANGE_EVERY_S = 2.0
"""At most; how often is a matter of chance."""
SETTLES_S = 40.0
"""After that the probation of each program is over, and told."""
LASTING = """
import threading
quits = threading.Event()
log("version {} ")
def main():
    register_quit_notification(quits.set)
    quits.wait()
"""


class Bed:
    """A device with its runner, an operator, and a database that does what it is told to."""

    def __init__(self, run: Run, directory: Path, couch: SmallCouch) -> None:
        self.couch = couch
        self._program = run.settings.program
        self._log = directory / "log"
        self._root = directory / "root"
        (self._root / "conf").mkdir(parents=True)
        self._operator = Operator(directory, "ann")
        (self._root / "conf/allowed_signers").write_text(self._operator.allowed_line())
        (self._root / "conf/client.conf").write_text(
            f"[KegNet]\nuuid = 3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54\nserviceBaseURL = https://hub.example/rest/v3\n"
            f"[Runner]\nurl = {couch.url}\ndirectory = runner\nmacId = {MAC_ID}\n"
        )
        self.process = self.start()

    def start(self) -> Process:
        self.process = Process([self._program, "runner", "--root", self._root], self._log, {})
        return self.process

    def put(self, number: int, name: str = "tap") -> float:
        """Save a version; when."""
        signed = self._operator.sign(program(number, LASTING.format(number), _id=name, name=name))
        self.couch.put(signed)
        return time.monotonic()

    def put_command(self, number: int) -> None:
        self.couch.put(self._operator.sign(command("echo", str(number), _id=f"c{number}", sequence=number)))

    def wait_for(self, holds: Callable[[], object], what: str) -> float:
        """When it came."""
        until_s = time.monotonic() + PATIENCE_S
        while not holds():
            self.process.check()
            if time.monotonic() > until_s:
                raise NoFigureError(f"{what} did not come within {PATIENCE_S:.0f} s")
            time.sleep(LOOK_S)
        return time.monotonic()

    def wait_for_version(self, number: int, name: str = "tap") -> float:
        return self.wait_for(lambda: f"[{name}] version {number} " in self._log.read_text(), f"version {number}")

    def boxes(self) -> list[int]:
        """The processes in the boxes: all that descends from the runner."""
        found, waiting = list[int](), [self.process.pid]
        while waiting:
            for children in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
                try:
                    waiting += (more := [int(word) for word in children.read_text().split()])
                except OSError:
                    continue
                found += more
        return found


def runner(run: Run) -> None:
    """All three."""
    quick = run.settings.quick
    started = Row("runner-start", "runner: document saved to program running", "s", Aim(1, at_least=False))
    changed = Row("runner-change", "runner: the same of a change", "s", Aim(1, at_least=False))
    load_s = 20 if quick else 180
    settled = Row("runner-load", f"runner: {load_s} s of changes, kills and cuts, then the highest runs", "s")
    rest_s = 20 if quick else 120
    memory = Row("runner-rss", f"runner: its RSS with {AT_REST} programs", "MB", Aim(45, at_least=False))
    wakeups = Row("runner-wakeups", f"runner: its wake-ups with {AT_REST} programs at rest", "/min")
    cpu = Row("runner-cpu", "runner: its CPU time in that, all boxes included", "ms/min")
    boxes = Row("runner-boxes", f"runner: PSS of {AT_REST} boxes", "MB")
    run.results.expect(started, changed, settled, memory, wakeups, cpu, boxes)
    with run.measuring(started.title, PROGRAM), bed(run, "runner-start") as one:
        for number in range(1, 4 if quick else 11):
            name = f"tap{number}"
            run.results.add(started, PROGRAM, -one.put(1, name) + one.wait_for_version(1, name))
            run.results.add(changed, PROGRAM, -one.put(2, name) + one.wait_for_version(2, name))
    with run.measuring(settled.title, PROGRAM), bed(run, "runner-load") as one:
        run.results.add(settled, PROGRAM, change_under_load(run, one, load_s))
    with run.measuring(memory.title, PROGRAM), bed(run, "runner-rest") as one:
        for number in range(AT_REST):
            one.put(1, f"tap{number}")
        for number in range(AT_REST):
            one.wait_for_version(1, f"tap{number}")
        time.sleep(SETTLES_S)
        before = one.process.wakeups(), cpu_s(one)
        time.sleep(rest_s)
        run.results.add(memory, PROGRAM, one.process.rss_mb())
        run.results.add(wakeups, PROGRAM, (one.process.wakeups() - before[0]) * 60 / rest_s)
        run.results.add(cpu, PROGRAM, (cpu_s(one) - before[1]) * 60_000 / rest_s)
        run.results.add(boxes, PROGRAM, sum(map(pss_mb, one.boxes())))


def change_under_load(run: Run, one: Bed, load_s: float) -> float:
    """How long it took from the last version until it ran, alone; each command ran once at most, and has its result."""
    chance = random.Random(1)  # noqa: S311 (when to kill)
    number = kills = cuts = 0
    until_s = time.monotonic() + load_s
    while time.monotonic() < until_s:
        number += 1
        one.put(number)
        one.put_command(number)
        time.sleep(chance.uniform(0, CHANGE_EVERY_S))
        match chance.randrange(4):
            case 0:
                one.process.kill()
                one.start()
                kills += 1
            case 1:
                one.couch.cut()
                cuts += 1
    saved_s = one.put(number + 1)
    settled_s = one.wait_for_version(number + 1) - saved_s
    results = [f"c{each}_ret_{MAC_ID}" for each in range(1, number + 1)]
    one.wait_for(lambda: all(map(one.couch.get, results)), "each command's result")
    told = [identifier for _, identifier in one.couch.changes]
    if any(told.count(name) != 1 for name in results):
        raise NoFigureError("a command has more than one result")
    lost = sum((one.couch.get(name) or {}).get("exit") != 0 for name in results)
    run.results.note(
        f"The runner under load: {number + 1} versions, {kills} kills, {cuts} cuts of the feed; of {number} commands "
        f"{number - lost} ran, {lost} were cut off by a kill, none ran twice."
    )
    # bubblewrap is two processes, and the program is one.
    one.wait_for(lambda: len(one.boxes()) == 3, "that the highest version runs alone")
    return settled_s


def cpu_s(one: Bed) -> float:
    """Of the runner and of all in its boxes."""
    return one.process.cpu_s() + sum(time.clock_gettime((~pid << 3) | 2) for pid in one.boxes())


def pss_mb(pid: int) -> float:
    """The share of its memory that it does not have in common with others."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def bed(run: Run, name: str) -> Iterator[Bed]:
    """One of its own, which ends with the context."""
    directory = run.stage.directory / name
    directory.mkdir()
    couch = SmallCouch()
    couch.start()
    one = Bed(run, directory, couch)
    try:
        yield one
    finally:
        one.process.stop()
        couch.stop()
