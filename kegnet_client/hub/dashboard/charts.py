"""What the charts of temperatures have in common: colours, lines, marks. Pure."""

from collections.abc import Sequence
from typing import Any

from kegnet_client.hub.domain.numerals import Language

GREY = "#9ca3af"
TEXT = "#7b818c"
"""To be read on white and on black."""
NOW = "#b91c1c"


def base(language: Language, bottom: int, on_tv_px: int) -> dict[str, Any]:
    """A chart without its data, with so many pixels below its axis; one that is ``on_tv_px`` wide is on a TV."""
    return {
        "animation": False,
        "tooltip": {"trigger": "axis", ":valueFormatter": write(language, "")},
        "textStyle": {"fontSize": 14},
        "legend": {"top": 0, "type": "scroll", "icon": "roundRect", "textStyle": {"color": TEXT}},
        "grid": {"left": 60, "right": 24, "top": 48, "bottom": bottom},
        "media": [
            {
                "query": {"minWidth": on_tv_px},
                "option": {
                    "textStyle": {"fontSize": 24},
                    "legend": {"textStyle": {"fontSize": 24}},
                    "xAxis": {"axisLabel": {"fontSize": 20}},
                    "yAxis": {"axisLabel": {"fontSize": 20}},
                    "grid": {"left": 96, "top": 64},
                },
            }
        ],
    }


def write(language: Language, unit: str) -> str:
    """The JavaScript that writes a number, where there is one, as ``language`` does, with its ``unit`` behind it."""
    return f"value => value == null ? '-' : value.toLocaleString('{language}') + '{unit}'"


def line(name: str, points: Sequence[tuple[float, float | None]], kind: str) -> dict[str, Any]:
    """A line through ``points``, of which None is a gap; ``kind`` is solid, dashed or dotted."""
    return {
        "name": name,
        "type": "line",
        "showSymbol": len(points) == 1,
        "lineStyle": {"type": kind, "width": 2},
        "data": [list(one) for one in points],
    }


def marks(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Upright ``lines``, each of `mark`, over a line of a chart."""
    return {"symbol": "none", "silent": True, "animation": False, "data": list(lines)}


def mark(at: float, text: str, colour: str, kind: str, position: str) -> dict[str, Any]:
    """An upright line; its text stands as it is: braces would be a template's."""
    shown = text.replace("{", "(").replace("}", ")")
    return {
        "xAxis": at,
        "label": {"formatter": shown, "color": colour if kind == "solid" else TEXT, "position": position},
        "lineStyle": {"color": colour, "type": kind, "width": 2 if kind == "solid" else 1},
    }


def mark_now(now_ms: int, text: str) -> dict[str, Any]:
    """The line at now."""
    return mark(now_ms, text, NOW, "solid", "end")
