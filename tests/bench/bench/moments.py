"""How soon: from a drop to its arrival, from the start to the first delivery; and what waiting costs."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from .contestants import Contestant, Floor, Original, Program, SyslogNg
from .drains import PATIENCE_S, SLOWEST_PER_S, start
from .figures import median, percentile
from .process import Process
from .results import Aim, Row
from .run import Run
from .sink import StalledError
from .stage import Device

PULSES = 586
FRESH_PULSES = 1_000_000
"""More than any pour of a backlog has: so many, and the number of the fresh one."""
SETTLE_S = 0.5
PAUSE_S = (0.003, 0.012)
"""Between the arrival of one pour and the drop of the next; at random, so that nothing beats in time with it."""

OTHERS: dict[str, list[Contestant]] = {"v2": [Original(), SyslogNg()], "v3": []}
"""Who is measured besides, by protocol."""


@contextmanager
def warm(run: Run, contestant: Contestant, protocol: str, before: Sequence[str]) -> Iterator[tuple[Device, Process]]:
    """A contestant that has delivered one pour and waits for more."""
    with run.device(protocol) as device:
        device.fill(1)
        with run.process(contestant, device, before) as process:
            run.sink.wait(1, process, PATIENCE_S)
            time.sleep(SETTLE_S)
            yield device, process


def drop_one_by_one(
    run: Run,
    contestant: Contestant,
    protocol: str,
    drops: int,
    before: Sequence[str] = (),
    pause_s: tuple[float, float] = PAUSE_S,
) -> list[float]:
    """From each of so many renames to the arrival at the server, in milliseconds."""
    with warm(run, contestant, protocol, before) as (device, process):
        dropped_ns = []
        for number in range(1, drops + 1):
            time.sleep(random.uniform(*pause_s))  # noqa: S311 (nothing is secret about it)
            dropped_ns.append(device.drop(number, PULSES))
            run.sink.wait(number + 1, process, PATIENCE_S)
        arrived_ns = [at_ns for at_ns, _ in run.sink.report().requests[1:]]
        return [(there - here) / 1e6 for here, there in zip(dropped_ns, arrived_ns, strict=True)]


def latency(run: Run) -> None:
    """One pour at a time."""
    program = Program(run.settings.program)
    drops = 50 if run.settings.quick else 500
    for protocol, others in OTHERS.items():
        p50 = Row(f"{protocol}-latency-p50", f"drop to arrival of one pour, {protocol}, p50", "ms", Aim(1.5, False))
        p99 = Row(f"{protocol}-latency-p99", f"drop to arrival of one pour, {protocol}, p99", "ms", Aim(3, False))
        run.results.expect(p50, p99)
        for one in run.in_turn(f"latency {protocol}", [Floor(), program, *others]):
            with run.measuring(p50.title, one.column):
                took_ms = drop_one_by_one(run, one, protocol, drops)
                run.results.add(p50, one.column, median(took_ms))
                run.results.add(p99, one.column, percentile(took_ms, 99))


def first_delivery(run: Run) -> None:
    """From the start of the process to the arrival of what waited for it."""
    program = Program(run.settings.program)
    for protocol, others in OTHERS.items():
        row = Row(f"{protocol}-start", f"start to the first delivery, {protocol}", "s", Aim(0.3, at_least=False))
        run.results.expect(row)
        for one in run.in_turn(f"start {protocol}", [Floor(), program, *others]):
            with run.measuring(row.title, one.column):
                for _ in range(1 if run.settings.quick else 3):
                    run.results.add(row, one.column, start(run, one, protocol).elapsed_s)


def idle(run: Run) -> None:
    """What each holds and how often it wakes while nothing happens, after one pour; all of them at once."""
    seconds = 5 if run.settings.quick else 20
    contestants: list[Contestant] = [Floor(), Program(run.settings.program), *OTHERS["v2"]]
    rss = Row("idle-rss", "idle: RSS", "MB", Aim(40, at_least=False))
    wakeups = Row("idle-wakeups", f"idle: wake-ups, over {seconds} s", "/s", Aim(0.05, at_least=False))
    run.results.expect(rss, wakeups)
    with ExitStack() as running:
        processes: dict[str, Process] = {}
        for one in run.in_turn("idle", contestants, rounds=1):
            with run.measuring(rss.title, one.column):
                _, processes[one.column] = running.enter_context(warm(run, one, "v2", ()))
        time.sleep(4 * SETTLE_S)
        before = {column: process.wakeups() for column, process in processes.items()}
        time.sleep(seconds)
        for column, process in processes.items():
            run.results.add(wakeups, column, (process.wakeups() - before[column]) / seconds)
            run.results.add(rss, column, process.rss_mb())


def fresh(run: Run) -> None:
    """A fresh pour, dropped while a large backlog is on its way."""
    backlog = 2_000 if run.settings.quick else 100_000
    drops = 5 if run.settings.quick else 50
    program = Program(run.settings.program)
    for protocol in ("v2", "v3"):
        # At v3's pace the backlog is gone before many have been dropped into it.
        standing = backlog if protocol == "v2" or not run.settings.quick else backlog * 10
        row = Row(
            f"{protocol}-fresh", f"a fresh pour into a draining backlog of {standing:,}, {protocol}, median", "ms"
        )
        shares = Row(
            f"{protocol}-fresh-requests", f"the same, in requests' time, {protocol}", "requests", Aim(2, at_least=False)
        )
        slowest = Row(f"{protocol}-fresh-slowest", f"the slowest of {drops} fresh ones, {protocol}", "requests")
        run.results.expect(row, shares, slowest)
        with run.measuring(row.title, program.column), run.device(protocol) as device:
            run.tell(f"fresh pours {protocol}")
            device.fill(standing)
            with run.process(program, device) as process:
                took_ms, request_ms = _drop_into(run, device, process, standing, drops)
            for one in took_ms:
                run.results.add(row, program.column, one)
                run.results.add(shares, program.column, one / request_ms)
            run.results.add(slowest, program.column, max(took_ms) / request_ms)


def _drop_into(run: Run, device: Device, process: Process, standing: int, drops: int) -> tuple[list[float], float]:
    """How long each fresh pour took, and how long one request did meanwhile, on one connection."""
    run.sink.ask(f"mark {FRESH_PULSES}")
    run.sink.wait(standing // 10, process, PATIENCE_S + standing / SLOWEST_PER_S)
    dropped_ns: dict[int, int] = {}
    for number in range(drops):
        dropped_ns[FRESH_PULSES + number] = device.drop(standing + number, FRESH_PULSES + number)
        time.sleep(random.uniform(0.02, 0.06))  # noqa: S311 (nothing is secret about it)
    arrivals = run.sink.report()
    if arrivals.pours >= standing:
        raise StalledError("the backlog was gone before the last fresh pour was dropped")
    run.sink.wait(arrivals.pours + drops, process, PATIENCE_S)
    give_up_s = time.monotonic() + PATIENCE_S
    while len((arrivals := run.sink.report()).marked) < drops:
        if time.monotonic() > give_up_s:
            raise StalledError("fresh pours did not arrive")
        time.sleep(0.1)
    first_ns, last_ns = min(dropped_ns.values()), max(arrivals.marked.values())
    # Fresh pours go by themselves: what counts as one request is a full one.
    pours = sum(pours for at_ns, pours in arrivals.requests if first_ns <= at_ns <= last_ns)
    requests = pours / max(pours for _, pours in arrivals.requests)
    request_ms = (last_ns - first_ns) / 1e6 / requests * arrivals.most_open
    return [(arrivals.marked[pulses] - at_ns) / 1e6 for pulses, at_ns in dropped_ns.items()], request_ms
