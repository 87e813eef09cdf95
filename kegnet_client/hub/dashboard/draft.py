"""A profile as somebody types it: rows that may be incomplete, until it is saved. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

HOURS = 24


class IncompleteError(Exception):
    """A row has no day, no temperature or no text."""


@dataclass(slots=True)
class PointRow:
    """A temperature so many days after the start."""

    days: float | None = None
    temperature: float | None = None


@dataclass(slots=True)
class EventRow:
    """Something to be done so many days after the start."""

    days: float | None = None
    text: str = ""


@dataclass(slots=True)
class Draft:
    """What is typed, and what it was typed over."""

    name: str = ""
    type: str = ""
    unit: Literal["C", "F"] = "C"
    points: list[PointRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    before: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Draft":
        """The draft in which nothing was typed yet."""
        return cls(
            body["name"],
            body["type"],
            body["unit"],
            [PointRow(one["days"], one["temperature"]) for one in body["temperatures"]],
            [EventRow(one["days"], one["text"]) for one in body["events"]],
            body,
        )

    @property
    def parts(self) -> int:
        """Of a day, in which times are typed: hours for a mash."""
        return HOURS if self.type == "Mash" else 1

    @property
    def is_changed(self) -> bool:
        """Whether anything differs from what it was typed over."""
        fresh = Draft.of(self.before)
        return (self.name, self.type, self.points, self.events) != (fresh.name, fresh.type, fresh.points, fresh.events)

    def whole_points(self) -> list[tuple[float, float]]:
        """The rows that are complete, in the order of days; of one day in theirs."""
        rows = [(one.days, one.temperature) for one in self.points]
        whole = [(days, wanted) for days, wanted in rows if days is not None and wanted is not None]
        return sorted(whole, key=lambda one: one[0])

    def whole_events(self) -> list[tuple[float, str]]:
        """As `whole_points`."""
        whole = [(one.days, one.text.strip()) for one in self.events if one.days is not None and one.text.strip()]
        return sorted(whole, key=lambda one: one[0])

    def to_body(self) -> dict[str, Any]:
        """What is to be said; `IncompleteError` where a row is not complete."""
        points, events = self.whole_points(), self.whole_events()
        if len(points) < len(self.points) or len(events) < len(self.events):
            raise IncompleteError
        return {
            "name": self.name,
            "type": self.type,
            "unit": self.unit,
            "temperatures": [{"days": days, "temperature": wanted} for days, wanted in points],
            "events": [{"days": days, "text": text} for days, text in events],
        }

    def insert_point(self, place: int) -> None:
        """Another row before the one at ``place``, between its neighbours."""
        rows = self.points
        before, after = rows[place - 1 : place], rows[place : place + 1]
        ends = [*before, *after]
        days = [one.days for one in ends if one.days is not None]
        wanted = [one.temperature for one in ends if one.temperature is not None]
        if before and not after and days:
            days = [days[-1] + 1 / self.parts]
        rows.insert(
            place,
            PointRow(sum(days) / len(days) if days else 0.0, sum(wanted) / len(wanted) if wanted else None),
        )
