"""How fast a full spool is emptied, and what that costs.

The time runs from the first request's arrival to the last one's, and the first one's pours do not count: so the
start is left out, which has a row of its own. A contestant that reads the whole spool before its first request
is timed from its start instead, less what it takes to deliver a single pour.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .contestants import CURL, PROGRAM, Contestant, Curl, Floor, Original, Program, SyslogNg, TwoSinks
from .figures import median
from .results import Aim, Row
from .run import Run
from .sink import StalledError

PATIENCE_S = 60.0
SLOWEST_PER_S = 5
"""What is slower has stopped."""
STARTS = 3
AIMED_SHARE = Aim(0.85, at_least=True, of_floor=True)
AIMED_FAR = Aim(0.95, at_least=True, of_floor=True)
SPREAD = Aim(1.1, at_least=False)
COMPARED = "the same, floor that reads each file again before it is removed"
AIMED_BATCHES = Aim(0.8, at_least=True, of_floor=True)


@dataclass(frozen=True)
class Started:
    """What it took from the start to the first arrival."""

    elapsed_s: float
    cpu_s: float


@dataclass(frozen=True)
class Drained:
    """What came of one drain; the CPU is the process's own."""

    pours_per_s: float
    cpu_us_per_pour: float
    peak_rss_mb: float
    most_connections: int
    sink_cpu_share: float


@dataclass(frozen=True)
class Entry:
    """Who drains how many, and the rows that its rate goes to."""

    contestant: Contestant
    count: int
    rates: tuple[Row, ...]


def start(
    run: Run, contestant: Contestant, protocol: str, port: int | None = None, before: Sequence[str] = ()
) -> Started:
    """Have ``contestant`` deliver the one pour that stands there before it starts."""
    with run.device(protocol, port) as device:
        device.fill(1)
        with run.process(contestant, device, before) as process:
            run.sink.wait(1, process, PATIENCE_S)
            cpu_s = process.cpu_s()
            return Started((run.sink.report().first_ns - process.started_ns) / 1e9, cpu_s)


def drain(
    run: Run, entry: Entry, protocol: str, started: Started | None, port: int | None = None, before: Sequence[str] = ()
) -> Drained:
    """Have the contestant deliver the pours that stand there before it starts.

    ``started`` is what its start took, where that is to be taken off.
    """
    count = entry.count
    with run.device(protocol, port) as device:
        device.fill(count)
        with run.process(entry.contestant, device, before) as process:
            run.sink.wait(1, process, PATIENCE_S)
            cpu_before_s = started.cpu_s if started else process.cpu_s()
            run.sink.wait(count, process, PATIENCE_S + count / SLOWEST_PER_S)
            cpu_s = process.cpu_s() - cpu_before_s
            arrivals = run.sink.report()
            give_up_s = time.monotonic() + PATIENCE_S
            while entry.contestant.removes and device.waiting():
                if time.monotonic() > give_up_s:
                    raise StalledError(f"{device.waiting()} files stay in the spool")
                time.sleep(0.01)
            if started:
                counted, from_ns = count - 1, process.started_ns + int(started.elapsed_s * 1e9)
            else:
                counted, from_ns = count - arrivals.requests[0][1], arrivals.first_ns
            return Drained(
                counted / ((arrivals.last_ns - from_ns) / 1e9),
                cpu_s * 1e6 / counted,
                process.peak_rss_mb(),
                arrivals.most_open,
                arrivals.cpu_share,
            )


def race(
    run: Run,
    what: str,
    protocol: str,
    entries: Sequence[Entry],
    cpu: Row | None = None,
    peak: Row | None = None,
    port: int | None = None,
    before: Sequence[str] = (),
    rounds: int | None = None,
) -> None:
    """All entries in turn. CPU and memory are shown of those that drain in the first one's row."""
    first = entries[0].rates[0]
    rates = dict.fromkeys(row for entry in entries for row in entry.rates)
    run.results.expect(*rates, *filter(None, (cpu, peak)))
    entry_of = {id(entry.contestant): entry for entry in entries}
    starts: dict[int, Started] = {}
    for one in run.in_turn(what, [entry.contestant for entry in entries], rounds):
        entry = entry_of[id(one)]
        with run.measuring(first.title, one.column):
            if one.reads_ahead and id(one) not in starts:
                found = [start(run, one, protocol, port, before) for _ in range(STARTS)]
                starts[id(one)] = Started(
                    median([sample.elapsed_s for sample in found]), median([sample.cpu_s for sample in found])
                )
            drained = drain(run, entry, protocol, starts.get(id(one)), port, before)
            for row in entry.rates:
                run.results.add(row, one.column, drained.pours_per_s)
            if first in entry.rates and cpu is not None:
                run.results.add(cpu, one.column, drained.cpu_us_per_pour)
            if first in entry.rates and peak is not None and one.column != CURL:  # which has ended by now
                run.results.add(peak, one.column, drained.peak_rss_mb)
            if one.column == PROGRAM:
                run.results.at_most("this program's connections", what, drained.most_connections)
            run.results.at_most("the sink's share of a core", what, drained.sink_cpu_share)


def drain_v2(run: Run) -> None:
    """REST v2 on loopback."""
    count = 1_000 if run.settings.quick else 10_000
    slower = 100 if run.settings.quick else 2_000
    one = Row("v2-drain-1", f"drain {count:,} pours, v2, floor on 1 connection", "/s", AIMED_SHARE)
    several = Row("v2-drain-2", "the same, floor on 2 connections", "/s", AIMED_SHARE)
    compared = Row("v2-drain-compared", COMPARED, "/s")
    race(
        run,
        "drain v2",
        "v2",
        [
            Entry(Floor(), count, (one,)),
            Entry(Floor(2), count, (several,)),
            Entry(Floor(compares=True), count, (compared,)),
            Entry(Program(run.settings.program), count, (one, several, compared)),
            Entry(Original(), slower, (one,)),
            Entry(SyslogNg(), count, (one,)),
            Entry(SyslogNg(4), count, (several,)),
            Entry(Curl(), count, (one,)),
        ],
        cpu=Row("v2-cpu", "CPU per pour, v2", "µs", Aim(800, at_least=False)),
        peak=Row("v2-peak", f"peak RSS draining {count:,}, v2", "MB", Aim(45, at_least=False)),
    )


def drain_v3(run: Run) -> None:
    """REST v3 on loopback: so many pours that the start does not blur the rate."""
    count = 10_000 if run.settings.quick else 50_000
    rate = Row("v3-drain", f"drain {count:,} pours, v3 in batches of 500", "/s", AIMED_BATCHES)
    compared = Row("v3-drain-compared", COMPARED, "/s")
    race(
        run,
        "drain v3",
        "v3",
        [
            Entry(Floor(), count, (rate,)),
            Entry(Floor(compares=True), count, (compared,)),
            Entry(Program(run.settings.program), count, (rate, compared)),
            Entry(SyslogNg(), count, (rate,)),
        ],
        cpu=Row("v3-cpu", "CPU per pour, v3", "µs"),
        peak=Row("v3-peak", f"peak RSS draining {count:,}, v3", "MB", Aim(55, at_least=False)),
    )


def far_v2(run: Run) -> None:
    """REST v2 to a server that is 50 ms away."""
    quick = run.settings.quick
    count = 200 if quick else 2_000
    slow = 20 if quick else 200
    one = Row("v2-far-1", "v2 at 50 ms round trip, floor on 1 connection", "/s")
    eight = Row("v2-far-8", "the same, floor on 8 connections", "/s", AIMED_FAR)
    with run.proxy(50) as port:
        race(
            run,
            "v2 at 50 ms",
            "v2",
            [
                Entry(Floor(), slow, (one,)),
                Entry(Floor(8), count, (eight,)),
                Entry(Program(run.settings.program), count, (one, eight)),
                Entry(Original(), slow // 4, (one,)),
                Entry(SyslogNg(), slow, (one,)),
                Entry(SyslogNg(4), slow * 4, (eight,)),
            ],
            port=port,
        )


def far_v3(run: Run) -> None:
    """REST v3 to a server that is 50 ms away."""
    count = 5_000 if run.settings.quick else 20_000
    rate = Row("v3-far", f"drain {count:,} pours, v3 at 50 ms round trip", "/s", AIMED_BATCHES)
    with run.proxy(50) as port:
        race(
            run,
            "v3 at 50 ms",
            "v3",
            [
                Entry(Floor(), count, (rate,)),
                Entry(Program(run.settings.program), count, (rate,)),
                Entry(SyslogNg(), count, (rate,)),
            ],
            port=port,
        )


def two_sinks(run: Run) -> None:
    """REST v3 beside a second sink that is away: each pour goes over into two queues first, at the disk's pace."""
    count = 500 if run.settings.quick else 5_000
    rate = Row("two-sinks", f"drain {count:,} pours, v3, with a second sink, away", "/s")
    race(run, "two sinks", "v3", [Entry(TwoSinks(run.settings.program), count, (rate,))])


def backlog(run: Run) -> None:
    """What a pour costs before a small, a large and a huge backlog."""
    for protocol, quick_sizes in (("v2", (100, 1_000)), ("v3", (1_000, 10_000))):
        sizes = quick_sizes if run.settings.quick else (1_000, 10_000, 100_000)
        contestants: list[Contestant] = [Floor(), Program(run.settings.program)]
        cpus = []
        for size in sizes:
            rate = Row(f"{protocol}-backlog-{size}", f"drain a backlog of {size:,}, {protocol}", "/s")
            cpus.append(Row(f"{rate.key}-cpu", f"CPU per pour, backlog of {size:,}, {protocol}", "µs"))
            aim = Aim(55 if size > 10_000 else 45, at_least=False)
            race(
                run,
                f"backlog {protocol} {size:,}",
                protocol,
                [Entry(one, size, (rate,)) for one in contestants],
                cpu=cpus[-1],
                peak=Row(f"{rate.key}-peak", f"peak RSS, backlog of {size:,}, {protocol}", "MB", aim),
                # The largest takes minutes over v2, and hardly scatters.
                rounds=1 if size > 10_000 and protocol == "v2" else None,
            )
        spread = Row(
            f"{protocol}-backlog-spread",
            f"CPU per pour, its dearest backlog to its cheapest, {protocol}",
            "times",
            SPREAD,
        )
        run.results.expect(spread)
        for one in contestants:
            costs = [cost for row in cpus if (cost := run.results.median(row.key, one.column))]
            if costs:
                run.results.add(spread, one.column, max(costs) / min(costs))
