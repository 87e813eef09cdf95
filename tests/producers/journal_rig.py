"""A producer that ends by SIGKILL, or with the power, at every moment of its work; run as a program of its own.

It prints one line of JSON: how many moments there were, and what was wrong after which. After each moment the
producer starts again, and that start is disturbed in the same way until one comes through. What is counted is then
in the spool's records: all that was on the disk, nothing twice. A board's total is known after that, too; with it not
one pulse is missing.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from kegnet_client import RELEASED_MS
from kegnet_client.core.flow import FlowRules, Meter, TotalCounter
from kegnet_client.core.records import Pour, parse
from kegnet_client.host.clock import Clock
from kegnet_client.producers.pour_journal import PourJournal

RULES = FlowRules(idle_ms=600, longest_ms=2000, minimum=10)
TICK_MS = 200
FLOW = [3, 0, 0, 0, *[25] * 7, 0, 0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0, 30, 2]
"""Pulses in each tick: drips, a pour that is longer than the longest, drips that come to a record, half a pour."""
STARTED_S = 10_000.0
CALLS = ("open", "pwrite", "write", "fsync", "fdatasync", "rename", "unlink")


class HandClock(Clock):
    now_s = STARTED_S

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return RELEASED_MS + round(self.now_s * 1000)


@dataclass
class Counted:
    """``came`` is how many pulses there were, ``safe`` how many of them the disk had for certain."""

    came: int = 0
    safe: int = 0


def produce(spool: Path, told: Callable[[int, int], object], *, by_totals: bool) -> None:
    clock = HandClock()
    meter = Meter(RULES)
    journal = PourJournal(spool, "meter", "tap", 3, RULES, clock)
    counter = TotalCounter(meter)
    counter.take(0, round(clock.now_s * 1000))
    total = 0 if by_totals else None
    journal.keep(meter, [], total)
    journal.write()
    came = 0
    for number, pulses in enumerate(FLOW):
        clock.now_s += TICK_MS / 1000
        now_ms = round(clock.now_s * 1000)
        came += pulses
        if by_totals:
            done = [*counter.take(came, now_ms), *meter.look(now_ms)]
            total = came
        else:
            done = meter.add(pulses, now_ms - TICK_MS + 1, now_ms) if pulses else []
            done += meter.look(now_ms)
        journal.keep(meter, done, total)
        told(came, 0)
        if done or number % 5 == 4:
            journal.write()
            told(came, came)
    journal.close(meter.close(), total)
    told(came, came)


def recover(spool: Path, total: int | None) -> None:
    """The next start: the board, if there is one, tells the total that it had by then."""
    clock = HandClock()
    clock.now_s += 60
    meter = Meter(RULES)
    journal = PourJournal(spool, "meter", "tap", 3, RULES, clock)
    counter = TotalCounter(meter, journal.total)
    done = [] if total is None else counter.take(total, round(clock.now_s * 1000))
    journal.keep(meter, done, total)
    journal.write()
    journal.close(meter.close(), None)


def faults(spool: Path, counted: Counted, *, by_totals: bool) -> list[str]:
    found = [f"{path.name} is left" for path in spool.iterdir() if path.suffix != ".pour"]
    pours = [parse(path.name, path.read_bytes()) for path in spool.glob("*.pour")]
    pulses = sum(pour.pulses for pour in pours if isinstance(pour, Pour))
    least = counted.came if by_totals else counted.safe
    if not least <= pulses <= counted.came:
        found.append(f"{pulses} pulses are recorded of {counted.came}, at least {least} were safe")
    spans = sorted((pour.started_ms, pour.started_ms + pour.elapsed_ms) for pour in pours if isinstance(pour, Pour))
    if any(end >= start for (_, end), (start, _) in pairwise(spans)):
        found.append(f"records overlap: {spans}")
    return found


def before_each_call(act: Callable[[str, tuple[Any, ...]], object]) -> None:
    """Have ``act`` called before whatever this process does to a disk."""

    def wrap(name: str) -> None:
        call = getattr(os, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            act(name, arguments)
            # A kill takes nothing from the kernel: for that, nothing has to reach the disk.
            return None if name in ("fsync", "fdatasync") else call(*arguments, **options)

        setattr(os, name, wrapped)

    for name in CALLS:
        wrap(name)


def in_child(work: Callable[[], object], killed_at: int) -> bool:
    """Do ``work`` in a process that is killed before so many calls; whether it was."""
    if (pid := os.fork()) == 0:
        left = [killed_at]

        def count(_name: str, _arguments: tuple[Any, ...]) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        before_each_call(count)
        work()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status not in (0, signal.SIGKILL):
        raise RuntimeError(f"the child ended with {status}")
    return status == signal.SIGKILL


def kills(place: Path) -> Iterator[tuple[str, list[str]]]:
    for by_totals in (False, True):
        moment, was_killed = 0, True
        while was_killed:
            moment += 1
            spool = place / f"{by_totals}-{moment}"
            spool.mkdir()
            was_killed, counted = produce_until(moment, spool, by_totals=by_totals)
            if counted is not None:
                recover_at_last(spool, counted.came if by_totals else None)
                yield f"killed at call {moment}", faults(spool, counted, by_totals=by_totals)
            shutil.rmtree(spool)


def produce_until(moment: int, spool: Path, *, by_totals: bool) -> tuple[bool, Counted | None]:
    """Whether it was killed, and what it said until then; None where no total was on the disk yet."""
    reading, writing = os.pipe()
    tell = os.write  # not one of the calls that count
    was_killed = in_child(
        lambda: produce(spool, lambda came, safe: tell(writing, b"%d %d\n" % (came, safe)), by_totals=by_totals), moment
    )
    os.close(writing)
    told = []
    while line := os.read(reading, 65536):
        told += line.splitlines()
    os.close(reading)
    if not told and by_totals:
        return was_killed, None
    numbers = [(0, 0), *(tuple(map(int, line.split())) for line in told)]
    return was_killed, Counted(*map(max, zip(*numbers, strict=True)))


def recover_at_last(spool: Path, total: int | None) -> None:
    """Start until one start comes through: each is killed a call later than the one before."""
    moment = 1
    while in_child(lambda: recover(spool, total), moment):
        moment += 1


def random_of(seed: int) -> Random:
    return Random(seed)  # noqa: S311  # it draws schedules, not secrets


@dataclass
class Node:
    """A file: the bytes on the disk, and what was written since."""

    durable: bytes = b""
    pending: list[tuple[int, bytes]] = field(default_factory=list)

    def content(self, chance: Random, share: float) -> bytes:
        """With each write there or not; what lies behind a missing one is zeros."""
        data = bytearray(self.durable)
        for at, written in self.pending:
            if len(data) < at + len(written):
                data.extend(bytes(at + len(written) - len(data)))
            if chance.random() < share:
                data[at : at + len(written)] = written
        return bytes(data)


class Disk:
    """What a power cut may leave: of names all that was synced, of the rest any; of bytes the same, by the sector."""

    def __init__(self) -> None:
        self.synced: dict[str, Node] = {}
        self.changes: list[tuple[str, str, Node]] = []
        self.names: dict[str, Node] = {}
        self.opened: dict[int, tuple[str, Node, int]] = {}

    def changed(self, kind: str, source: str, target: str = "") -> None:
        node = self.names[source]
        self.changes.append((f"{kind} {target}", source, node))
        self.play(self.names, self.changes[-1])

    @staticmethod
    def play(names: dict[str, Node], change: tuple[str, str, Node]) -> None:
        what, source, node = change
        kind, _, target = what.partition(" ")
        if kind == "create":
            names[source] = node
        elif names.get(source) is node:
            del names[source]
            if kind == "rename":
                names[target] = node

    def sync(self, node: Node | None) -> None:
        if node is None:
            for change in self.changes:
                self.play(self.synced, change)
            self.changes.clear()
        else:
            node.durable, node.pending = node.content(random_of(0), 1.0), []

    def states(self, chance: Random) -> Iterator[dict[str, bytes]]:
        subsets = [self.changes[:count] for count in range(len(self.changes) + 1)]
        subsets += [[change for change in self.changes if chance.random() < 0.5] for _ in range(3)]
        for changes in subsets:
            names = dict(self.synced)
            for change in changes:
                self.play(names, change)
            for share in (0.0, 0.5, 1.0):
                yield {name: node.content(chance, share) for name, node in names.items()}


def cuts(place: Path) -> Iterator[tuple[str, list[str]]]:
    """The work is recorded, and each state that a cut may leave in between is started upon."""
    for by_totals in (False, True):
        moments = record(place, by_totals=by_totals)
        for number, (state, counted) in enumerate(moments):
            spool = place / f"{by_totals}-cut-{number}"
            spool.mkdir()
            for name, data in state.items():
                (spool / name).write_bytes(data)
            recover(spool, counted.came if by_totals else None)
            found = faults(spool, counted, by_totals=by_totals)
            if found:
                found.append(str({name: data[:400] for name, data in state.items()}))
            yield f"cut {number}", found
            shutil.rmtree(spool)


def record(place: Path, *, by_totals: bool) -> list[tuple[dict[str, bytes], Counted]]:
    disk, chance, counted = Disk(), random_of(1), Counted()
    spool = place / "recorded"
    spool.mkdir()
    moments: list[tuple[dict[str, bytes], Counted]] = []
    seen: set[object] = set()
    real = {name: getattr(os, name) for name in CALLS}

    def told(came: int, safe: int) -> None:
        counted.came, counted.safe = came, max(counted.safe, safe)

    def wrap(name: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if by_totals is False or counted.came:
                for state in disk.states(chance):
                    key = frozenset(state.items()), counted.came, counted.safe
                    if key not in seen:
                        seen.add(key)
                        moments.append((state, Counted(counted.came, counted.safe)))
            result = real[name](*arguments, **options)
            follow(name, arguments, result)
            return result

        return wrapped

    def follow(name: str, arguments: tuple[Any, ...], result: Any) -> None:
        match name:
            case "open" if len(arguments) > 1 and arguments[1] & os.O_CREAT:
                node = Node()
                disk.names[arguments[0]] = node
                disk.changes.append(("create", arguments[0], node))
                disk.opened[result] = arguments[0], node, 0
            case "open":
                disk.opened.pop(result, None)
            case "write" if arguments[0] in disk.opened:
                path, node, at = disk.opened[arguments[0]]
                node.pending.append((at, bytes(arguments[1])))
                disk.opened[arguments[0]] = path, node, at + len(arguments[1])
            case "pwrite":
                _, node, _ = disk.opened[arguments[0]]
                node.pending.append((arguments[2], arguments[1]))
            case "fsync" | "fdatasync":
                found = disk.opened.get(arguments[0])
                disk.sync(found[1] if found else None)
            case "rename" | "unlink":
                disk.changed(name, *arguments)

    for name in CALLS:
        setattr(os, name, wrap(name))
    try:
        produce(spool, told, by_totals=by_totals)
    finally:
        for name, call in real.items():
            setattr(os, name, call)
    shutil.rmtree(spool)
    return moments


def main() -> None:
    kind, place = sys.argv[1], Path(sys.argv[2])
    played = {"kills": kills, "cuts": cuts}[kind](place)
    outcomes = list(played)
    wrong = [(moment, found) for moment, found in outcomes if found]
    print(json.dumps({"moments": len(outcomes), "faults": wrong[:5]}))


if __name__ == "__main__":
    main()
