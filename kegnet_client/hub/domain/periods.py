"""What holds at a meter from when until when: its calibration, its tap and the keg there.

A meter is a pin of a device. Meters move from tap to tap, kegs come and go, calibrations hold from a date on; laid over
each other they part a meter's time into periods, and a pour belongs to the one in which it began. All times are Unix
milliseconds, intervals begin at ``from_ms`` and end before ``until_ms``.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, TypeVar

ALWAYS_MS = 0
NEVER_MS = 2**53
"""An interval without an end ends here, in the year 287,396."""

Meter = tuple[str, int]
"""A device's uuid and a pin."""


@dataclass(frozen=True, slots=True)
class MeterAtTap:
    """A meter counts what runs from ``tap``; until it is calibrated a pulse is ``nanolitres_per_pulse``."""

    tap: int
    device: str
    pin: int
    nanolitres_per_pulse: int
    from_ms: int = ALWAYS_MS
    until_ms: int = NEVER_MS


@dataclass(frozen=True, slots=True)
class KegAtTap:
    """``keg`` runs from ``tap``."""

    keg: int
    tap: int
    from_ms: int = ALWAYS_MS
    until_ms: int = NEVER_MS


@dataclass(frozen=True, slots=True)
class Calibration:
    """From ``from_ms`` on a pulse of this meter is ``nanolitres_per_pulse``; of several of one time the last holds."""

    device: str
    pin: int
    nanolitres_per_pulse: int
    from_ms: int = ALWAYS_MS


@dataclass(frozen=True, slots=True)
class Period:
    """What holds at a meter; None is not known."""

    device: str
    pin: int
    from_ms: int
    until_ms: int
    nanolitres_per_pulse: int | None
    tap: int | None
    keg: int | None


class Interval(Protocol):
    """Anything from when until when."""

    @property
    def from_ms(self) -> int: ...

    @property
    def until_ms(self) -> int: ...


_I = TypeVar("_I", bound=Interval)


class Periods:
    """The periods of some meters, to be looked up by time."""

    def __init__(self, periods: Iterable[Period]) -> None:
        self._by_meter: dict[Meter, list[Period]] = defaultdict(list)
        for period in sorted(periods, key=lambda one: one.from_ms):
            self._by_meter[period.device, period.pin].append(period)

    def at(self, device: str, pin: int, time_ms: int) -> Period | None:
        """What holds then, if anything does."""
        periods = self._by_meter.get((device, pin), [])
        place = bisect_right(periods, time_ms, key=lambda one: one.from_ms) - 1
        return periods[place] if place >= 0 and time_ms < periods[place].until_ms else None

    def between(self, device: str, pin: int, from_ms: int, until_ms: int) -> list[Period]:
        """What holds at any time from ``from_ms`` until before ``until_ms``, the earliest first."""
        periods = self._by_meter.get((device, pin), [])
        return [one for one in periods if one.from_ms < until_ms and from_ms < one.until_ms]


def lay_out(
    meters: Sequence[MeterAtTap], kegs: Sequence[KegAtTap], calibrations: Sequence[Calibration]
) -> list[Period]:
    """The periods of every meter that anything is said of, in the order of meters and times, none over another.

    Where ``meters`` or ``kegs`` overlap, the first holds: see `find_overlap`.
    """
    periods: list[Period] = []
    known = {(one.device, one.pin) for one in meters} | {(one.device, one.pin) for one in calibrations}
    for device, pin in sorted(known):
        taps = [one for one in meters if (one.device, one.pin) == (device, pin)]
        there = [one for one in kegs if any(one.tap == tap.tap for tap in taps)]
        own = sorted(
            (one for one in calibrations if (one.device, one.pin) == (device, pin)), key=lambda one: one.from_ms
        )
        times = {time for one in taps for time in (one.from_ms, one.until_ms)}
        times |= {time for one in there for time in (one.from_ms, one.until_ms)}
        times |= {one.from_ms for one in own} | ({NEVER_MS} if own else set())
        of_meter: list[Period] = []
        for from_ms, until_ms in pairwise(sorted(times)):
            tap = _at(taps, from_ms)
            keg = None if tap is None else _at([one for one in there if one.tap == tap.tap], from_ms)
            place = bisect_right(own, from_ms, key=lambda one: one.from_ms) - 1
            default = None if tap is None else tap.nanolitres_per_pulse
            period = Period(
                device,
                pin,
                from_ms,
                until_ms,
                own[place].nanolitres_per_pulse if place >= 0 else default,
                None if tap is None else tap.tap,
                None if keg is None else keg.keg,
            )
            if period.nanolitres_per_pulse is None and tap is None:
                continue
            if of_meter and of_meter[-1] == replace(period, from_ms=of_meter[-1].from_ms, until_ms=from_ms):
                of_meter[-1] = replace(of_meter[-1], until_ms=until_ms)
            else:
                of_meter.append(period)
        periods += of_meter
    return periods


def find_overlap(intervals: Iterable[_I]) -> tuple[_I, _I] | None:
    """Two of ``intervals`` that overlap, if any do; the one that begins earlier first."""
    ordered = sorted(intervals, key=lambda one: (one.from_ms, one.until_ms))
    return next((pair for pair in pairwise(ordered) if pair[1].from_ms < pair[0].until_ms), None)


def _at(intervals: Sequence[_I], time_ms: int) -> _I | None:
    return next((one for one in intervals if one.from_ms <= time_ms < one.until_ms), None)
