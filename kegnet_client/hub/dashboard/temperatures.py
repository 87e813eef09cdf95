"""How cold it was: a line a sensor, over the last hours or days, of at most a few hundred points each.

The database makes the points (`kegnet_client.hub.store.readings`).
"""

from collections import defaultdict
from math import ceil, floor
from typing import Any

from fastapi import Request
from nicegui import ui
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.store import entries, readings

CHANNELS = ("temperatures", "taps")
MAX_POINTS = 1000
RANGES_H = (6, 24, 24 * 7, 24 * 30, 24 * 365)


async def page(hub: Hub, request: Request) -> None:
    """Show them."""
    visit = await Visit.begin(hub, request)
    words = visit.words
    with frame(visit, "temperatures"):
        spans = {
            span: words("hours", count=span) if span <= 24 else words("days", count=span // 24) for span in RANGES_H
        }
        span = ui.toggle(spans, value=24).props("no-caps")
        empty = ui.label(words("no_readings")).classes("text-xl")
        chart = ui.echart(_options(visit)).classes("w-full h-[60vh]")

    async def refresh() -> None:
        until_ms = hub.clock_ms()
        since_ms = until_ms - int(span.value) * readings.HOUR_MS
        lines = await hub.read(lambda connection: _read(connection, since_ms, until_ms))
        empty.set_visibility(not lines)
        chart.set_visibility(bool(lines))
        series: list[dict[str, Any]] = [
            {
                "name": name,
                "type": "line",
                "showSymbol": False,
                "data": [[time_ms, figures.degrees(value, visit.settings.units)] for time_ms, value in points],
            }
            for name, points in lines
        ]
        first_ms = min((points[0][0] for _, points in lines), default=since_ms)
        axis = {"type": "time", "min": max(since_ms, first_ms), "max": until_ms}
        if chart.options["series"] != series or chart.options["xAxis"] != axis:
            chart.options["series"], chart.options["xAxis"] = series, axis
            chart.options["yAxis"].update(_bounds([degrees for one in series for _, degrees in one["data"]]))
            chart.update()

    span.on_value_change(refresh)
    await refresh()
    visit.follow(CHANNELS, refresh)


def _bounds(degrees: list[float]) -> dict[str, int]:
    """A degree more than there was at either end: a tenth is no mountain."""
    return {"min": floor(min(degrees)) - 1, "max": ceil(max(degrees)) + 1} if degrees else {}


def _options(visit: Visit) -> dict[str, Any]:
    unit = "°F" if visit.settings.units == "us" else "°C"
    return {
        "animation": False,
        "tooltip": {"trigger": "axis"},
        "legend": {"top": 0, "type": "scroll"},
        "grid": {"left": 48, "right": 16, "top": 40, "bottom": 40},
        "xAxis": {"type": "time"},
        "yAxis": {"type": "value", "name": unit},
        "series": [],
        "useUTC": False,
    }


def _read(connection: Connection, since_ms: int, until_ms: int) -> list[tuple[str, list[tuple[int, float]]]]:
    """For each sensor its name and points, at most `MAX_POINTS` together: times and millidegrees."""
    taps = {
        one.body["sensor"]: one.body["name"] for one in entries.read_open(connection, "tap") if one.body.get("sensor")
    }
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for sensor, time_ms, value in readings.read_points(connection, since_ms, until_ms, MAX_POINTS):
        found[sensor or ""].append((time_ms, float(value)))
    return [
        (taps.get(sensor) or sensor or "?", points)
        for sensor, points in sorted(found.items(), key=lambda one: str(taps.get(one[0]) or one[0]))
    ]
