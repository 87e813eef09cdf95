"""How cold it was: a line a sensor, over the last hours or days, what a profile wants beside it, and a closer look.

The range stands in the address (``?hours=8760``), so that a page can be kept as it is wanted.
"""

from typing import Any

from fastapi import Request
from nicegui import ui
from nicegui.events import GenericEventArguments

from kegnet_client.hub.dashboard import temperature_chart
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.dashboard.temperature_chart import Window
from kegnet_client.hub.store import readings

CHANNELS = ("temperatures", "taps", "profiles", "runs")
RANGES_H = (6, 24, 24 * 7, 24 * 30, 24 * 365)
USUAL_H = 24
ZOOM_S = 0.3
"""Who drags is waited for: each look reads anew."""


async def page(hub: Hub, request: Request) -> None:
    """Show them."""
    visit = await Visit.begin(hub, request)
    words = visit.words
    with frame(visit, "temperatures"):
        spans = {
            span: words("hours", count=span) if span <= 24 else words("days", count=span // 24) for span in RANGES_H
        }
        span = ui.toggle(spans, value=_range_of(request)).props("no-caps")
        empty = ui.label(words("no_readings")).classes("text-xl")
        chart = ui.echart({}).classes("w-full h-[65vh]")
    window = Window()

    async def refresh() -> None:
        now_ms = hub.clock_ms()
        since_ms = now_ms - int(span.value) * readings.HOUR_MS
        lines = await hub.read(lambda connection: temperature_chart.read(connection, since_ms, now_ms, window))
        empty.set_visibility(lines.is_empty)
        chart.set_visibility(not lines.is_empty)
        options = temperature_chart.options(visit.settings.units, words, lines, window)
        if chart.options != options:
            chart.options.clear()
            chart.options.update(options)
            chart.update()

    async def change_range() -> None:
        nonlocal window
        window = Window()
        ui.navigate.history.replace(f"?hours={span.value}")
        await refresh()

    async def zoom(event: GenericEventArguments) -> None:
        nonlocal window
        window = _window_of(event.args)
        await refresh()

    span.on_value_change(change_range)
    chart.on("chart:datazoom", zoom, ["start", "end", "batch"], throttle=ZOOM_S, leading_events=False)
    await refresh()
    visit.follow(CHANNELS, refresh)


def _range_of(request: Request) -> int:
    """The hours that the address asks for, where they are among the ranges."""
    asked = request.query_params.get("hours", "")
    return next((one for one in RANGES_H if str(one) == asked), USUAL_H)


def _window_of(told: dict[str, Any]) -> Window:
    """What the chart tells of a zoom; by the wheel it stands in a batch, and what is nonsense shows all."""
    one = (told.get("batch") or [told])[0]
    start, end = one.get("start"), one.get("end")
    if isinstance(start, int | float) and isinstance(end, int | float) and 0 <= start < end <= 100:
        return Window(start, end)
    return Window()
