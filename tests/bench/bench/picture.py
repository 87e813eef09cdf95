"""Two pictures as SVG, drawn by hand: drain against backlog, and latency. Legible on light and on dark ground."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .contestants import FLOOR, ORIGINAL, PROGRAM, SYSLOG_NG
from .figures import readable
from .results import Results

WIDTH = 860
HEIGHT = 400
COLOURS = {PROGRAM: "#2f81f7", FLOOR: "#8b949e", ORIGINAL: "#d29922", SYSLOG_NG: "#3fb950"}
INK = "#7d8590"
BACKLOGS = (100, 1_000, 10_000, 100_000)


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis, from the power of ten ``low`` to another, ``high``, between two places in the picture."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Where ``value`` stands."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """The powers of ten on it."""
        return [10.0**power for power in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]


def axis_for(values: Sequence[float], start: float, end: float) -> Axis:
    """One from a power of ten to another, with all ``values`` between them."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return Axis(10.0**first, 10.0 ** max(last, first + 1), start, end)


def picture(results: Results, caption: str) -> str:
    """Both, side by side, over ``caption``; what was not measured is left out."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        "<title>kegnet-client: drain against backlog, and latency</title>",
        *_drains(results),
        *_latencies(results),
        *(_text(16, HEIGHT - 24 + 14 * row, part, size=10) for row, part in enumerate(caption.split("; ", 1))),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _drains(results: Results) -> list[str]:
    """Pours a second over the backlog's size, for v2 and v3."""
    left, right, top, bottom = 70.0, 400.0, 50.0, HEIGHT - 90.0
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for protocol in ("v3", "v2"):
        for column in (FLOOR, PROGRAM):
            rates = {size: results.median(f"{protocol}-backlog-{size}", column) for size in BACKLOGS}
            lines[protocol, column] = [(size, rate) for size, rate in rates.items() if rate]
    measured = [point for points in lines.values() for point in points]
    if not measured:
        return []
    across = axis_for([size for size, _ in measured], left, right)
    up = axis_for([rate for _, rate in measured], bottom, top)
    parts = [_text(left - 50, top - 26, "Drain: pours a second, by backlog", size=14)]
    for tick in up.ticks():
        parts += [_line(left, up.place(tick), right, up.place(tick)), _tick(left - 8, up.place(tick) + 4, tick, "end")]
    for tick in across.ticks():
        parts.append(_tick(across.place(tick), bottom + 32, tick, "middle"))
    for (protocol, column), points in lines.items():
        if not points:
            continue
        places = [(across.place(size), up.place(rate)) for size, rate in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dash = ' stroke-dasharray="5 4"' if column == FLOOR else ""
        colour = COLOURS[column]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        below = 18 if column == PROGRAM else -10
        label = f"{protocol}, {column}"
        parts.append(_text(places[-1][0], places[-1][1] + below, label, "end", colour=colour))
    return parts


def _latencies(results: Results) -> list[str]:
    """A bar from the median to the 99th percentile, for each contestant and protocol."""
    left, right, top = 560.0, 825.0, 50.0
    bars = []
    for protocol in ("v2", "v3"):
        for column in (FLOOR, PROGRAM, SYSLOG_NG, ORIGINAL):
            p50, p99 = (results.median(f"{protocol}-latency-{name}", column) for name in ("p50", "p99"))
            if p50 and p99:
                bars.append((f"{column}, {protocol}", COLOURS[column], p50, p99))
    if not bars:
        return []
    across = axis_for([value for *_, p50, p99 in bars for value in (p50, p99)], left, right)
    step = 40
    bottom = top + step * len(bars)
    parts = [_text(left - 120, top - 26, "From drop to arrival: median to 99th percentile", size=14)]
    for tick in across.ticks():
        parts.append(_line(across.place(tick), top - 6, across.place(tick), bottom))
        parts.append(_tick(across.place(tick), bottom + 18, tick, "middle", " ms"))
    for number, (label, colour, p50, p99) in enumerate(bars):
        y = top + step * number + 14
        x, end = across.place(p50), across.place(p99)
        parts.append(_text(left - 12, y + 4, label, "end", colour=colour))
        parts.append(_line(x, y, end, y, colour, 6))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>')
        parts.append(_text(min(x, right - 60), y + 20, f"{readable(p50)} to {readable(p99)} ms", size=10))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = INK, width: float = 0.5) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}" '
        f'stroke-opacity="{0.5 if colour == INK else 0.85}"/>'
    )


def _tick(x: float, y: float, value: float, anchor: str, unit: str = "") -> str:
    return _text(x, y, f"{value:,g}{unit}", anchor, size=11)


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = INK, size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'
    )
