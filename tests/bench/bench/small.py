"""The same on a small machine: a tenth of a core and 128 MB stand in for a Pi Zero."""

from .cgroup import small_machine
from .contestants import Floor, Program
from .drains import Entry, race, start
from .figures import median, percentile
from .moments import drop_one_by_one
from .results import Row
from .run import Run

PAUSE_S = (0.15, 0.25)
"""Between two drops: the quota is there again."""


def small(run: Run) -> None:
    """Drains, latency and start."""
    quick = run.settings.quick
    with small_machine() as before:
        if before is None:
            run.results.note("the small machine: left out, it takes root and the cpu and memory controllers")
            return
        floor, program = Floor(), Program(run.settings.program)
        for protocol, count in (("v2", 50 if quick else 1_000), ("v3", 1_000 if quick else 20_000)):
            rate = Row(f"small-{protocol}-drain", f"a tenth of a core: drain {count:,} pours, {protocol}", "/s")
            entries = [Entry(floor, count, (rate,)), Entry(program, count, (rate,))]
            race(
                run,
                f"small {protocol}",
                protocol,
                entries,
                peak=Row(f"small-{protocol}-peak", f"a tenth of a core: its peak RSS, {protocol}", "MB"),
                before=before,
            )
        if quick:
            return
        p50 = Row("small-latency-p50", "a tenth of a core: drop to arrival, v2, p50", "ms")
        p99 = Row("small-latency-p99", "a tenth of a core: the same, p99", "ms")
        started = Row("small-start", "a tenth of a core: start to the first delivery, v2", "s")
        run.results.expect(p50, p99, started)
        for one in run.in_turn("small moments", [floor, program]):
            with run.measuring(started.title, one.column):
                run.results.add(started, one.column, start(run, one, "v2", before=before).elapsed_s)
                took_ms = drop_one_by_one(run, one, "v2", 50, before, PAUSE_S)
                run.results.add(p50, one.column, median(took_ms))
                run.results.add(p99, one.column, percentile(took_ms, 99))
