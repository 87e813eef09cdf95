"""How fast a full spool is emptied, and what that costs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .contestants import PROGRAM, Contestant, Floor, Program
from .results import Aim, Row
from .run import Run
from .sink import StalledError

PATIENCE_S = 60.0
SLOWEST_PER_S = 5
"""What is slower has stopped."""


@dataclass(frozen=True)
class Drained:
    """What came of one drain. The CPU is the process's own, from its first request on."""

    pours_per_s: float
    cpu_ms_per_pour: float
    peak_rss_mb: float
    most_connections: int
    sink_cpu_share: float


def drain(
    run: Run,
    contestant: Contestant,
    protocol: str,
    count: int,
    port: int | None = None,
    before: Sequence[str] = (),
) -> Drained:
    """Have ``contestant`` deliver ``count`` pours that stand there before it starts."""
    patience_s = PATIENCE_S + count / SLOWEST_PER_S
    with run.device(protocol, port) as device:
        device.fill(count)
        with run.process(contestant, device, before) as process:
            run.sink.wait(1, process, PATIENCE_S)
            cpu_before_s = process.cpu_s()
            run.sink.wait(count, process, patience_s)
            cpu_s = process.cpu_s() - cpu_before_s
            arrivals = run.sink.report()
            give_up_s = time.monotonic() + PATIENCE_S
            while contestant.removes and device.waiting():
                if time.monotonic() > give_up_s:
                    raise StalledError(f"{device.waiting()} files stay in the spool")
                time.sleep(0.01)
            return Drained(
                arrivals.pours_per_s,
                cpu_s * 1000 / (count - arrivals.requests[0][1]),
                process.peak_rss_mb(),
                arrivals.most_open,
                arrivals.cpu_share,
            )


def drain_v2(run: Run) -> None:
    """REST v2 on loopback."""
    count = 2_000 if run.settings.quick else 10_000
    rate = Row("v2-drain-1", f"drain {count:,} pours, v2, floor on 1 connection", "/s", Aim(0.85, True, of_floor=True))
    rate_2 = Row("v2-drain-2", "the same, floor on 2 connections", "/s", Aim(0.85, True, of_floor=True))
    cpu = Row("v2-cpu", "CPU per pour, v2", "ms", Aim(0.8, False))
    peak = Row(f"v2-peak-{count}", f"peak RSS draining {count:,}, v2", "MB", Aim(45, False))
    floor_2 = Floor(2)
    for one in run.in_turn("drain v2", [Floor(), floor_2, Program(run.settings.program)]):
        with run.measuring(rate.title, one):
            drained = drain(run, one, "v2", count)
            if one is floor_2:
                run.results.add(rate_2, one.column, drained.pours_per_s)
                continue
            run.results.add(rate, one.column, drained.pours_per_s)
            run.results.add(cpu, one.column, drained.cpu_ms_per_pour)
            run.results.add(peak, one.column, drained.peak_rss_mb)
            if one.column == PROGRAM:
                run.results.add(rate_2, one.column, drained.pours_per_s)
