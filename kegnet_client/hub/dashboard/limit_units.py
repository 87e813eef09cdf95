"""Limits as they are typed, and as they are kept. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kegnet_client.hub.domain.measures import ML_PER_OUNCE, Units
from kegnet_client.hub.domain.meters import NANOLITRES_PER_ML
from kegnet_client.hub.domain.rules import MINUTE_MS


@dataclass(frozen=True, slots=True)
class _Scale:
    """What is typed is what is kept, divided by ``per_one`` of the units, and then more by ``more``."""

    unit: Callable[[Units], str]
    per_one: Callable[[Units], float]
    more: Callable[[Units], float] = lambda _: 0.0


def _degree(units: Units) -> str:
    return "F" if units == "us" else "C"


def _millidegrees(units: Units) -> float:
    return 1000 * 5 / 9 if units == "us" else 1000


def _volume(units: Units) -> str:
    return "oz" if units == "us" else "ml"


def _nanolitres(units: Units) -> float:
    return NANOLITRES_PER_ML * (ML_PER_OUNCE if units == "us" else 1)


_DIFFERENCE = _Scale(_degree, _millidegrees)
_TEMPERATURE = _Scale(_degree, _millidegrees, lambda units: 32.0 if units == "us" else 0.0)
_MINUTES = _Scale(lambda _: "min", lambda _: MINUTE_MS)
_VOLUME = _Scale(_volume, _nanolitres)
_COUNT = _Scale(lambda _: "", lambda _: 1)

_SCALES: Mapping[str, _Scale] = {
    "off_profile_millidegrees": _DIFFERENCE,
    "lowest_millidegrees": _TEMPERATURE,
    "highest_millidegrees": _TEMPERATURE,
    "off_for_ms": _MINUTES,
    "sensor_silent_ms": _MINUTES,
    "device_silent_ms": _MINUTES,
    "keg_below_percent": _COUNT,
    "longest_pour_ms": _MINUTES,
    "fastest_pour_nl_per_s": _VOLUME,
    "drips_nl_per_hour": _VOLUME,
    "refused_per_hour": _COUNT,
}
NAMES = tuple(_SCALES)
"""Every limit that there is, in the order in which they are shown."""


def unit(name: str, units: Units) -> str:
    """What the limit is typed in."""
    return _SCALES[name].unit(units)


def to_typed(name: str, kept: int, units: Units) -> float:
    """The limit ``name`` as it is shown, to a hundredth."""
    scale = _SCALES[name]
    return round(kept / scale.per_one(units) + scale.more(units), 2)


def to_own(
    typed: Mapping[str, tuple[bool, float | None]], usual: Mapping[str, int | None], units: Units
) -> dict[str, int | None]:
    """The limits of its own that a thing has: of each it is ``typed`` whether it is on, and its value, if any.

    An empty field is as usual. What is off has a None, unless it is usually off.
    """
    own: dict[str, int | None] = {}
    for name, (is_on, value) in typed.items():
        if is_on and value is not None:
            own[name] = to_kept(name, value, units)
        elif not is_on and usual[name] is not None:
            own[name] = None
    return own


def to_kept(name: str, typed: float, units: Units) -> int:
    """The limit ``name`` as it is kept."""
    scale = _SCALES[name]
    return round((typed - scale.more(units)) * scale.per_one(units))
