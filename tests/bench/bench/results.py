"""What was measured: rows of the table, each with every contestant's samples; to JSON and back."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .contestants import FLOOR, PROGRAM
from .figures import median


@dataclass(frozen=True)
class Aim:
    """What this program is to reach: ``value`` in the row's unit, or as a share of the floor."""

    value: float
    at_least: bool
    of_floor: bool = False

    def reached(self, measured: float, floor: float | None) -> bool | None:
        """Whether ``measured`` does; None where there is nothing to compare it with."""
        if self.of_floor and floor is None:
            return None
        bound = self.value * floor if self.of_floor and floor is not None else self.value
        return measured >= bound if self.at_least else measured <= bound


@dataclass(frozen=True)
class Row:
    """One line of the table; ``unit`` stands behind each figure."""

    key: str
    title: str
    unit: str
    aim: Aim | None = None


@dataclass
class Results:
    """Every sample of a run, by row and contestant, and what there is to say of them."""

    about: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    maxima: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def expect(self, *rows: Row) -> None:
        """Show these in this order, and also where nothing could be measured."""
        for row in rows:
            self.rows[row.key] = row
            self.samples.setdefault(row.key, {})

    def add(self, row: Row, column: str, value: float) -> None:
        """One more sample of an expected row."""
        self.samples[row.key].setdefault(column, []).append(value)

    def note(self, text: str) -> None:
        """Say this below the table, once."""
        if text not in self.notes:
            self.notes.append(text)

    def at_most(self, what: str, where: str, value: float) -> None:
        """Remember the most that ``what`` came to in the measurement ``where``."""
        found = self.maxima.setdefault(what, {})
        found[where] = max(value, found.get(where, 0))

    def median(self, key: str, column: str) -> float | None:
        """The middle of the samples, if there are any."""
        found = self.samples.get(key, {}).get(column)
        return median(found) if found else None

    def ratio(self, key: str) -> float | None:
        """This program's median as a share of the floor's."""
        ours, floor = self.median(key, PROGRAM), self.median(key, FLOOR)
        return ours / floor if ours is not None and floor else None

    def write(self, path: Path) -> None:
        """As JSON."""
        rows = {
            key: {**asdict(row), "samples": self.samples[key], "medians": self._medians(key)}
            for key, row in self.rows.items()
        }
        content = {"about": self.about, "rows": rows, "maxima": self.maxima, "notes": self.notes}
        path.write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Results":
        """What `write` wrote."""
        content = json.loads(path.read_text())
        results = cls(about=content["about"], maxima=content["maxima"], notes=content["notes"])
        for key, told in content["rows"].items():
            aim = Aim(**told["aim"]) if told["aim"] else None
            results.rows[key] = Row(key, told["title"], told["unit"], aim)
            results.samples[key] = told["samples"]
        return results

    def _medians(self, key: str) -> dict[str, float]:
        return {column: median(found) for column, found in self.samples[key].items()}
