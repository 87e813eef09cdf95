"""Volumes and temperatures in words, in the units that the hub is set to: metric, or those of the United States."""

from typing import Literal

Units = Literal["metric", "us"]

ML_PER_OUNCE = 29.5735295625
ML_PER_GALLON = 3785.411784


def volume(millilitres: float, units: Units) -> str:
    """A large volume: what is in a keg."""
    if units == "us":
        return f"{millilitres / ML_PER_GALLON:.2f} gal"
    return f"{millilitres / 1000:.1f} l"


def volume_of(millilitres: float, whole_millilitres: float, units: Units) -> str:
    """A part of a large volume, and the whole: what is left in a keg, and its size."""
    part, _, unit = volume(millilitres, units).rpartition(" ")
    whole, _, _ = volume(whole_millilitres, units).rpartition(" ")
    return f"{part} of {whole} {unit}"


def small_volume(millilitres: float, units: Units) -> str:
    """A small volume: what is in a glass."""
    if units == "us":
        return f"{millilitres / ML_PER_OUNCE:.1f} oz"
    return f"{millilitres / 1000:.2f} l" if round(millilitres) >= 1000 else f"{millilitres:.0f} ml"


def degrees(millidegrees: float, units: Units) -> float:
    """A temperature in the unit that is shown, to a tenth."""
    celsius = millidegrees / 1000
    return round(celsius * 9 / 5 + 32 if units == "us" else celsius, 1)


def temperature(millidegrees: float, units: Units) -> str:
    """A temperature with its unit."""
    return f"{degrees(millidegrees, units):.1f} {'°F' if units == 'us' else '°C'}"
