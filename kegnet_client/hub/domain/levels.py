"""What is left in a keg, in the words of the person who looks: litres, percent, glasses; and how old a number is."""

from dataclasses import dataclass

from kegnet_client.hub.domain.meters import NANOLITRES_PER_ML

STALE_MS = 30 * 60_000
"""What was heard before is shown as old: a device is heard of every ten minutes."""


@dataclass(frozen=True, slots=True)
class Level:
    """What is left in a keg that holds ``full_nl``; less than nothing where more was counted than was in it."""

    full_nl: int
    left_nl: int

    @property
    def percent(self) -> float:
        """Of what it holds when it is full, whether it ever was; 0 to 100, to a tenth."""
        if self.full_nl <= 0:
            return 0.0
        return round(min(100.0, max(0.0, self.left_nl * 100 / self.full_nl)), 1)

    @property
    def left_ml(self) -> float:
        """To a tenth of a millilitre, never less than nothing."""
        return round(max(0, self.left_nl) / NANOLITRES_PER_ML, 1)

    def glasses(self, glass_ml: float) -> int:
        """How many full glasses of ``glass_ml`` are left."""
        return max(0, self.left_nl // max(1, round(glass_ml * NANOLITRES_PER_ML)))


def level_of(size_ml: float, start_ml: float | None, poured_nl: int) -> Level:
    """The level of a keg of ``size_ml`` that had ``start_ml`` in it (None: all of it) and lost ``poured_nl``."""
    full_nl = round(size_ml * NANOLITRES_PER_ML)
    start_nl = full_nl if start_ml is None else round(start_ml * NANOLITRES_PER_ML)
    return Level(full_nl, start_nl - poured_nl)


def is_stale(at_ms: int | None, now_ms: int, due_ms: int) -> bool:
    """Whether a number of ``at_ms`` is not to be taken for today's: it is past its due, as far ahead, or not known."""
    return at_ms is None or abs(now_ms - at_ms) > due_ms
