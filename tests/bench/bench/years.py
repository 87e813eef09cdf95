"""Pages that look back on years, and a day of people who look: a real hub with a full database, a real Chromium.

The rows are put into the database directly, with the sums that an ingest keeps beside them; their signatures are
empty, since no page looks at those.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from .contestants import PROGRAM
from .hub import Hub, make_home, serving
from .process import NoFigureError
from .results import Aim, Row
from .run import Run
from .screen import ARGUMENTS, CHROMIUM, browsing, make_tap, open_page

SENSORS = 10
MINUTES = 365 * 24 * 60
POURS = 1_000_000
LOADS = 5
HOURS = 24

_READINGS = """
WITH RECURSIVE count(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM count WHERE n + 1 < :rows)
INSERT INTO temperatures
    (device, record_id, sensor, millidegrees, taken_ms, received_ms, protocol, signed, signature, key)
SELECT :device, printf('t%02d%029d', :sensor, n), printf('28-%012x', :sensor), 4000 + (n * 7) % 900,
    :now_ms - n * 60000, :now_ms, 'v2', x'', x'', :key FROM count"""
_HOURS = """
INSERT INTO readings_by_hour
SELECT device, sensor, taken_ms / 3600000, count(*), min(millidegrees), max(millidegrees), sum(millidegrees)
FROM temperatures GROUP BY 1, 2, 3"""
_POURS = """
WITH RECURSIVE count(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM count WHERE n + 1 < :rows)
INSERT INTO pours
    (device, record_id, pin, pulses, elapsed_ms, started_ms, received_ms, protocol, signed, signature, key)
SELECT :device, printf('p%031d', n), n % 4, 1000 + n % 1000, 8000,
    :now_ms - (n + 1) * 30000, :now_ms, 'v2', x'', x'', :key FROM count"""
_DAYS = """
INSERT INTO pours_by_day
SELECT device, pin, started_ms / 86400000, count(*), sum(pulses) FROM pours GROUP BY 1, 2, 3"""
_EMPTY = (
    "DELETE FROM temperatures",
    "DELETE FROM readings_by_hour",
    "DELETE FROM pours",
    "DELETE FROM pours_by_day",
)

# The chart is a canvas, of which only its points tell that it is drawn.
_DRAWN = """() => {
    const canvas = document.querySelector(".nicegui-echart canvas");
    if (!canvas || !canvas.width) return false;
    const middle = canvas.getContext("2d").getImageData(0, canvas.height / 4, canvas.width, canvas.height / 2).data;
    let drawn = 0;
    for (let place = 3; place < middle.length; place += 4) drawn += middle[place] > 200;
    return drawn > 500;
}"""

_LISTED = "() => document.querySelectorAll('[role=listitem]').length > 20"


def years(run: Run) -> None:
    """A year's chart and a table of a million pours, from the page's load until it is drawn."""
    with browsing(run, "pages of years") as playwright:
        if playwright is None:
            return
        home, sender = make_home(run, "hub-years")
        chart = Row(
            "year-chart", f"a year of {SENSORS} sensors, a reading a minute: load to drawn", "ms", _within(1000)
        )
        few = Row("pours-few", "the table of pours, a hundred of them: load to drawn", "ms")
        many = Row("pours-many", f"the table of pours, {POURS:,} of them: load to drawn", "ms", _within(1000))
        run.results.expect(chart, few, many)
        share = 10 if run.settings.quick else 1
        _fill(run, home, sender, 60, 100)
        with serving(run, home, sender) as hub:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
            make_tap(hub, sender)
            page = open_page(browser.new_context(ignore_https_errors=True), hub)
            _measure(run, page, hub, few, "pours", _LISTED)
            _fill(run, home, sender, MINUTES // share, POURS // share)
            _measure(run, page, hub, many, "pours", _LISTED)
            _measure(run, page, hub, chart, "temperatures?hours=8760", _DRAWN)
            browser.close()
        if share > 1:
            run.results.note(f"pages of years: with a {share}th of the rows, because quick")


def _within(most: float) -> Aim:
    return Aim(most, at_least=False)


def _measure(run: Run, page: Any, hub: Hub, row: Row, place: str, drawn: str) -> None:
    for number in range(LOADS):
        run.tell(f"{row.title}: load {number + 1}")
        page.goto(f"https://localhost:{hub.port}/ui/{place}")
        page.wait_for_function(drawn, polling="raf", timeout=60_000)
        run.results.add(row, PROGRAM, page.evaluate("performance.now()"))


def _fill(run: Run, home: Path, device: str, readings: int, pours: int) -> None:
    """Let the database hold so many readings of each sensor, and so many pours."""
    run.tell(f"pages of years: {readings * SENSORS + pours:,} rows")
    with closing(sqlite3.connect(home / "hub.db", timeout=60, isolation_level=None)) as database:
        key = database.execute("SELECT key FROM devices WHERE uuid = ?", [device]).fetchone()
        if key is None:
            raise NoFigureError("the device is not registered")
        known = {"device": device, "key": key[0], "now_ms": time.time_ns() // 1_000_000}
        database.execute("BEGIN IMMEDIATE")
        for statement in _EMPTY:
            database.execute(statement)
        for sensor in range(SENSORS):
            database.execute(_READINGS, {**known, "sensor": sensor, "rows": readings})
        database.execute(_HOURS)
        database.execute(_POURS, {**known, "rows": pours})
        database.execute(_DAYS)
        database.execute("COMMIT")


def viewers(run: Run) -> None:
    """The hub's memory over a day of people who come, sleep, lose the network, come back and go."""
    with browsing(run, "a day of viewers") as playwright:
        if playwright is None:
            return
        home, sender = make_home(run, "hub-viewers")
        hours = 4 if run.settings.quick else HOURS
        first = Row("viewers-first", "the hub's RSS after the first hour of viewers", "MB")
        last = Row("viewers-last", f"the same after {hours} hours of them", "MB", Aim(200, at_least=False))
        run.results.expect(first, last)
        with serving(run, home, sender) as hub:
            make_tap(hub, sender)
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
            by_hour = []
            for hour in range(hours):
                run.tell(f"a day of viewers: hour {hour + 1} of {hours}")
                _one_hour(browser, hub)
                by_hour.append(hub.process.rss_mb())
            browser.close()
            run.results.add(first, PROGRAM, by_hour[0])
            run.results.add(last, PROGRAM, by_hour[-1])
            run.results.note(
                f"a day of viewers, the hub's RSS by the hour: {', '.join(f'{one:.0f}' for one in by_hour)}"
            )


def _one_hour(browser: Any, hub: Hub) -> None:
    """Ten come and look around; two of them lose the network for a while, two sleep, two vanish with their browser."""
    contexts = [browser.new_context(ignore_https_errors=True) for _ in range(10)]
    pages = [open_page(context, hub) for context in contexts]
    for page in pages:
        for place in ("pours", "temperatures", "alarms"):
            page.goto(f"https://localhost:{hub.port}/ui/{place}")
            page.get_by_role("link").first.wait_for()
    for context in contexts[:2]:
        context.set_offline(True)
    for page in pages[2:4]:
        page.goto("about:blank")
    for context in contexts[4:6]:
        context.close()
    for context, page in zip(contexts[:2], pages[:2], strict=True):
        context.set_offline(False)
        page.reload()
        page.get_by_role("link").first.wait_for()
    for page in pages[2:4]:
        page.go_back()
        page.get_by_role("link").first.wait_for()
    for context in [*contexts[:4], *contexts[6:]]:
        context.close()
