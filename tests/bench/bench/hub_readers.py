"""How soon a device's request is answered while fifty readers take pages of a thousand rows at full speed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import postgresql

from .contestants import PROGRAM
from .figures import median, percentile, readable
from .hub import V2, V3, Hub, loading, make_home, send, serving
from .results import Aim, Row
from .run import Run
from .sink import Helper

READERS = 50
ROWS = 100_000
PER_S = 20
SECONDS = 30
PATH = "/api/pours?limit=1000"
ACCEPTED = {"JSON": "application/json", "CSV": "text/csv"}


def readers(run: Run) -> None:
    """On SQLite and on PostgreSQL, pages as JSON and as CSV."""
    with run.measuring("the hub's readers on SQLite", PROGRAM):
        _measure(run, "SQLite", ())
    with run.measuring("the hub's readers on PostgreSQL", PROGRAM), postgresql.running() as server:
        _measure(run, "PostgreSQL", ("--database", server.make_database()))


def _measure(run: Run, database: str, options: tuple[str, ...]) -> None:
    rows = ROWS // 10 if run.settings.quick else ROWS
    seconds = 5 if run.settings.quick else SECONDS
    home, device = make_home(run, f"hub-readers-{database}", *options)
    with serving(run, home, device) as hub, loading(hub, V2) as pours:
        with loading(hub, V3) as batches:
            run.tell(f"hub's readers, {database}: {rows:,} rows")
            send(batches, rows // V3.batch, 0)
        for form, accept in ACCEPTED.items():
            key = f"hub-readers-{database}-{form}".lower()
            title = f"hub on {database}, {READERS} readers of {form}: a device's POST, p99"
            row = Row(key, title, "ms", Aim(50, at_least=False))
            run.results.expect(row)
            for number in range(run.settings.rounds):
                run.tell(f"hub's readers, {database}, {form}: round {number + 1} of {run.settings.rounds}")
                with _reading(hub, accept) as reading:
                    took_ms = send(pours, PER_S * seconds, PER_S)["took_ms"]
                    read = reading.ask("stop")
                run.results.add(row, PROGRAM, percentile(took_ms, 99))
                pages_per_s, page_ms = read["pages"] / seconds, readable(median(read["took_ms"]))
                run.results.note(
                    f"hub on {database}, {form}: {pages_per_s:.0f} pages/s, one after {page_ms} ms (p50); a POST p50 "
                    f"{readable(median(took_ms))} ms, at most {readable(max(took_ms))} ms; the machine's load "
                    f"{os.getloadavg()[0]:.1f}"
                )


@contextmanager
def _reading(hub: Hub, accept: str) -> Iterator[Helper]:
    work = {
        "port": hub.port,
        "ca": str(hub.home / "ca.crt"),
        "token": (hub.home / "token").read_text().strip(),
        "readers": READERS,
        "path": PATH,
        "accept": accept,
    }
    reading = Helper("readers", json.dumps(work))
    try:
        reading.ask("start")
        yield reading
    finally:
        reading.close()
