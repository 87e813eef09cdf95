"""The chart of temperatures: what was read, what a profile wants, and where now is. Pure but for `read`.

Who zooms in is shown more: what is on the screen is read with as many points as the whole was before.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from sqlalchemy import Connection

from kegnet_client.hub.dashboard import charts, figures
from kegnet_client.hub.dashboard.words import Words
from kegnet_client.hub.domain.measures import Units
from kegnet_client.hub.domain.profiles import Run
from kegnet_client.hub.store import entries, readings, runs

MAX_POINTS = 1000
"""Of all sensors together, of the whole and again of what is zoomed to."""
AHEAD = 0.2
"""Where a profile runs, this part of the range is shown of what it will want."""

Points = list[tuple[int, float | None]]
"""Times and millidegrees Celsius; None is a gap."""


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the range that is looked at, in percent of it, as the chart tells it."""

    start_percent: float = 0.0
    end_percent: float = 100.0

    @property
    def is_all(self) -> bool:
        """Whether nothing of the range is left out."""
        return self.start_percent <= 0 and self.end_percent >= 100

    def of(self, since_ms: int, until_ms: int) -> tuple[int, int]:
        """From when until when that is."""
        length_ms = until_ms - since_ms
        return since_ms + int(length_ms * self.start_percent / 100), since_ms + ceil(length_ms * self.end_percent / 100)


@dataclass(frozen=True, slots=True)
class Lines:
    """With the name of each sensor what was read, and what is wanted where a profile runs."""

    since_ms: int
    now_ms: int
    until_ms: int
    read: Sequence[tuple[str, Points]]
    wanted: Sequence[tuple[str, Points]]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be drawn."""
        return not self.read and not self.wanted


def read(connection: Connection, since_ms: int, now_ms: int, window: Window) -> Lines:
    """All that is drawn of the time from ``since_ms`` on."""
    taps = {
        one.body["sensor"]: one.body["name"] for one in entries.read_open(connection, "tap") if one.body.get("sensor")
    }
    running = {
        sensor: runs.read_run(connection, entry)
        for (sensor, _, _), entry in runs.read_running(connection).items()
        if sensor is not None
    }
    found = _read_points(connection, since_ms, now_ms)
    if not running:
        since_ms = max(since_ms, min((points[0][0] for points in found.values()), default=since_ms))
    until_ms = now_ms + round((now_ms - since_ms) * AHEAD) if running else now_ms
    if not window.is_all:
        begin_ms, end_ms = window.of(since_ms, until_ms)
        found = _finer(found, _read_points(connection, begin_ms, min(end_ms, now_ms)), begin_ms, end_ms)

    def name(sensor: str) -> str:
        return str(taps.get(sensor) or sensor or "?")

    return Lines(
        since_ms,
        now_ms,
        until_ms,
        [(name(sensor), found[sensor]) for sensor in sorted(found, key=name)],
        [(name(sensor), plan(running[sensor], since_ms, until_ms)) for sensor in sorted(running, key=name)],
    )


def _read_points(connection: Connection, since_ms: int, until_ms: int) -> dict[str, Points]:
    found: dict[str, Points] = defaultdict(list)
    for sensor, time_ms, value in readings.read_points(connection, since_ms, until_ms, MAX_POINTS):
        found[sensor or ""].append((time_ms, float(value)))
    return found


def _finer(whole: dict[str, Points], part: dict[str, Points], begin_ms: int, end_ms: int) -> dict[str, Points]:
    """``whole`` with ``part`` in the place of what it has from ``begin_ms`` until before ``end_ms``."""
    return {
        sensor: [
            *(one for one in whole.get(sensor, []) if one[0] < begin_ms),
            *part.get(sensor, []),
            *(one for one in whole.get(sensor, []) if one[0] >= end_ms),
        ]
        for sensor in {*whole, *part}
    }


def plan(run: Run, since_ms: int, until_ms: int) -> Points:
    """What ``run`` wants in that time; between two points it goes straight."""
    begin_ms = max(since_ms, run.started_ms)
    if begin_ms > until_ms:
        return []
    later = [point for point in run.line(until_ms) if begin_ms < point[0] <= until_ms]
    return [(begin_ms, run.set_point(begin_ms)), *later]


def options(units: Units, words: Words, lines: Lines, window: Window) -> dict[str, Any]:
    """The chart's options."""
    series = [_series(name, points, units, "solid") for name, points in lines.read]
    wanted = [_series(f"{name}: {words('set_point')}", points, units, "dashed") for name, points in lines.wanted]
    if wanted:
        wanted[0]["markLine"] = charts.marks([charts.mark_now(lines.now_ms, words("now"))])
    series += wanted
    unit = " °F" if units == "us" else " °C"
    zoom = {"start": window.start_percent, "end": window.end_percent, "filterMode": "none"}
    return {
        **charts.base(words.language, bottom=80, on_tv_px=1500),
        "xAxis": {
            "type": "time",
            "min": lines.since_ms,
            "max": lines.until_ms,
            "axisLabel": {"hideOverlap": True, "color": charts.TEXT},
        },
        "yAxis": {
            "type": "value",
            "axisLabel": {":formatter": charts.write(words.language, unit), "color": charts.TEXT},
            "splitLine": {"lineStyle": {"color": f"{charts.GREY}55"}},
            **_bounds([degrees for one in series for _, degrees in one["data"] if degrees is not None]),
        },
        "dataZoom": [{"type": "inside", **zoom}, {"type": "slider", "showDataShadow": False, **zoom}],
        "series": series,
    }


def _series(name: str, points: Points, units: Units, kind: str) -> dict[str, Any]:
    degrees = [(at_ms, None if value is None else figures.degrees(value, units)) for at_ms, value in points]
    return charts.line(name, degrees, kind)


def _bounds(degrees: Sequence[float]) -> dict[str, int]:
    """A degree more than there was at either end: a tenth is no mountain."""
    return {"min": floor(min(degrees)) - 1, "max": ceil(max(degrees)) + 1} if degrees else {}
