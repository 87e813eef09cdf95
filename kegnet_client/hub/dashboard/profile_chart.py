"""The chart of a profile: set point and reading by time while it runs, else the set point by days."""

from typing import Any

from kegnet_client.hub.dashboard import charts, figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.draft import Draft
from kegnet_client.hub.dashboard.profile_state import Detail
from kegnet_client.hub.domain.profiles import DAY_MS, to_millidegrees

MAX_TEXT = 24


def options(visit: Visit, detail: Detail, draft: Draft, now_ms: int) -> dict[str, Any]:
    """The chart's options; ``draft`` is drawn beside what holds, where it is something else."""
    words = visit.words
    started_ms = detail.run.started_ms if detail.run is not None else None
    parts = draft.parts
    plan = _plan(visit, draft, started_ms)
    series = []
    if started_ms is None:
        x_axis: dict[str, Any] = {"type": "value", "name": words("hour" if parts > 1 else "day"), "min": 0}
        series.append(charts.line(words("set_point"), plan, "solid"))
    else:
        x_axis = {"type": "time", "min": started_ms, "max": detail.until_ms}
        held = [(at_ms, _degrees(visit, wanted)) for at_ms, wanted in detail.line]
        series.append(charts.line(words("set_point"), held, "solid"))
        if draft.is_changed:
            plan = [one for one in plan if one[0] <= detail.until_ms]
            series.append(charts.line(words("not_saved"), plan, "dotted"))
        read = [(at_ms, _degrees(visit, value)) for at_ms, value in detail.points]
        series.append(charts.line(words("reading"), read, "solid"))
    series[0]["markLine"] = charts.marks(_marks(visit, detail, draft, now_ms))
    return {
        **charts.base(words.language, bottom=32, on_tv_px=1150),
        "xAxis": {**x_axis, "splitLine": {"show": False}, "axisLabel": {"hideOverlap": True, "color": charts.TEXT}},
        "yAxis": {
            "type": "value",
            "scale": True,
            "axisLabel": {":formatter": charts.write(words.language, "°"), "color": charts.TEXT},
            "splitLine": {"lineStyle": {"color": f"{charts.GREY}55"}},
        },
        "series": series,
    }


def _plan(visit: Visit, draft: Draft, started_ms: int | None) -> list[tuple[float, float | None]]:
    """The draft's own points, by time from ``started_ms`` on, or by its days or hours."""
    return [
        (
            days * draft.parts if started_ms is None else started_ms + round(days * DAY_MS),
            _degrees(visit, to_millidegrees(temperature, draft.unit)),
        )
        for days, temperature in draft.whole_points()
    ]


def _marks(visit: Visit, detail: Detail, draft: Draft, now_ms: int) -> list[dict[str, Any]]:
    """A line at now, and one at each event."""
    marks = []
    run = detail.run
    for days, text in draft.whole_events():
        at = days * draft.parts if run is None else run.started_ms + round(days * DAY_MS)
        if run is None or at <= detail.until_ms:
            marks.append(
                charts.mark(
                    at,
                    text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…",
                    charts.GREY,
                    "dashed",
                    "insideStartTop",
                )
            )
    if run is not None and run.started_ms <= now_ms <= detail.until_ms:
        marks.append(charts.mark_now(now_ms, visit.words("now")))
    return marks


def _degrees(visit: Visit, millidegrees: float | None) -> float | None:
    return None if millidegrees is None else figures.degrees(millidegrees, visit.settings.units)
