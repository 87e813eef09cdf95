"""The set point of a profile at any time: points by days since its start, straight lines between them.

Two points of one day are a step: the first one ends the line before it, the second one holds from then on. A profile
runs on something from a start on. It may be changed meanwhile: what it was then stays the set point of then.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from kegnet_client.hub.domain.refusal_texts import WrongValueError

MAX_DAYS = 3650.0
DAY_MS = 86_400_000
_HOURS = 24

Point = tuple[float, float]
"""Days since the start, and a temperature in the profile's unit."""


def check(points: Sequence[Point]) -> None:
    """`ValueError` unless the days of ``points`` rise; one day may have two points, if they differ."""
    for number, ((before, earlier), (after, later)) in enumerate(pairwise(points), 2):
        if not before <= after:
            raise WrongValueError("days-backwards", number=number, after=after, before=before)
        if before == after and earlier == later:
            raise WrongValueError("point-again", number=number, day=after)
    for number, (first, third) in enumerate(zip(points, points[2:], strict=False), 3):
        if first[0] == third[0]:
            raise WrongValueError("third-of-a-day", number=number, day=third[0])


def set_point(points: Sequence[Point], days: float) -> float | None:
    """The temperature ``days`` after the start, in the points' unit; None where there is no point.

    ``points`` are in order (see `check`). Before the first and after the last one theirs holds.
    """
    if not points:
        return None
    place = bisect_right(points, days, key=lambda point: point[0])
    if place in (0, len(points)):
        return points[max(0, place - 1)][1]
    (day, temperature), (next_day, next_temperature) = points[place - 1 : place + 1]
    return temperature + (next_temperature - temperature) * (days - day) / (next_day - day)


def length_days(points: Sequence[Point]) -> float:
    """From the start to the last point."""
    return points[-1][0] if points else 0.0


@dataclass(frozen=True, slots=True)
class Version:
    """What was said of a profile at ``recorded_ms``."""

    recorded_ms: int
    points: Sequence[Point]
    unit: Literal["C", "F"] = "C"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, such as day 5.2 of 21."""

    days: float
    """Since the start; less than nothing before it."""
    length_days: float

    @property
    def parts(self) -> int:
        """Of a day, in which it is told: hours where it takes less than a day, as a mash does."""
        return _HOURS if 0 < self.length_days < 1 else 1

    @property
    def is_over(self) -> bool:
        """Whether the last point is behind; its temperature goes on."""
        return self.days > self.length_days


@dataclass(frozen=True, slots=True)
class Run:
    """A profile's run from ``started_ms`` on; ``versions`` are all that was said of it, the oldest first."""

    started_ms: int
    versions: Sequence[Version]

    def version_at(self, time_ms: int) -> Version | None:
        """What the profile was then; before anything was said of it, what was said first."""
        place = bisect_right(self.versions, time_ms, key=lambda version: version.recorded_ms) - 1
        return self.versions[max(0, place)] if self.versions else None

    def set_point(self, time_ms: int) -> int | None:
        """The millidegrees Celsius that were, are or will be wanted then; None before the start."""
        version = self.version_at(time_ms)
        if version is None or time_ms < self.started_ms:
            return None
        wanted = set_point(version.points, self.days_at(time_ms))
        return None if wanted is None else to_millidegrees(wanted, version.unit)

    def days_at(self, time_ms: int) -> float:
        """How many days it runs by then; less than nothing before the start."""
        return (time_ms - self.started_ms) / DAY_MS

    def line(self, until_ms: int) -> list[tuple[int, int | None]]:
        """Times from the start to ``until_ms`` and millidegrees Celsius; between two it went, or will go, straight.

        A step has two of one time; None ends a line where the profile had no point from then on.
        """
        changes = [one.recorded_ms for one in self.versions if self.started_ms < one.recorded_ms < until_ms]
        found: list[tuple[int, int | None]] = []
        for begin_ms, end_ms in pairwise(sorted({self.started_ms, *changes, max(self.started_ms, until_ms)})):
            version = self.version_at(begin_ms)
            if version is None or not version.points:
                found.append((begin_ms, None))
                continue
            found.append((begin_ms, self.set_point(begin_ms)))
            for days, wanted in version.points:
                at_ms = self.started_ms + round(days * DAY_MS)
                if begin_ms < at_ms <= end_ms:
                    found.append((at_ms, to_millidegrees(wanted, version.unit)))
            last = set_point(version.points, self.days_at(end_ms))
            if last is not None:
                found.append((end_ms, to_millidegrees(last, version.unit)))
        return found

    def progress(self, now_ms: int) -> Progress:
        """How far it is by then."""
        version = self.version_at(now_ms)
        length = length_days(version.points) if version is not None else 0.0
        return Progress(self.days_at(now_ms), length)


def to_millidegrees(temperature: float, unit: Literal["C", "F"]) -> int:
    """``temperature`` of ``unit`` as readings are counted: in thousandths of a degree Celsius."""
    return round((temperature if unit == "C" else (temperature - 32) * 5 / 9) * 1000)
