"""The set point of a profile at any time: points by days since its start, straight lines between them."""

from collections.abc import Sequence
from itertools import pairwise

MAX_DAYS = 3650.0
DAY_MS = 86_400_000


def check(days: Sequence[float]) -> None:
    """`ValueError` unless ``days`` rise from each to the next."""
    for number, (before, after) in enumerate(pairwise(days), 2):
        if not before < after:
            order = "again" if before == after else "after"
            raise ValueError(f"temperatures: point {number} is of day {after:g}, {order} day {before:g}")


def set_point(points: Sequence[tuple[float, float]], days: float) -> float | None:
    """The temperature ``days`` after the start, in the points' unit; None where there is no point.

    ``points`` are days and temperatures, in order. Before the first and after the last one theirs holds.
    """
    if not points:
        return None
    if days <= points[0][0]:
        return points[0][1]
    for (day, temperature), (next_day, next_temperature) in pairwise(points):
        if days < next_day:
            return temperature + (next_temperature - temperature) * (days - day) / (next_day - day)
    return points[-1][1]


def length_days(points: Sequence[tuple[float, float]]) -> float:
    """From the start to the last point."""
    return points[-1][0] if points else 0.0
