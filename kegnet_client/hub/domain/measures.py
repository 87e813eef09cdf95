"""Volumes and temperatures in words, as the hub is set to: metric or of the United States, in English or in German."""

from dataclasses import dataclass
from typing import Literal, Protocol

from kegnet_client.hub.domain.numerals import Language, decimal

Units = Literal["metric", "us"]

ML_PER_OUNCE = 29.5735295625
ML_PER_GALLON = 3785.411784


class Style(Protocol):
    """How numbers are shown: the hub's settings, and whatever knows of them."""

    @property
    def units(self) -> Units: ...

    @property
    def language(self) -> Language: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """Such a style by itself, where there are no settings at hand."""

    units: Units
    language: Language = "en"


def volume(millilitres: float, style: Style) -> str:
    """A large volume: what is in a keg."""
    if style.units == "us":
        return decimal(f"{millilitres / ML_PER_GALLON:.2f} gal", style.language)
    return decimal(f"{millilitres / 1000:.1f} l", style.language)


def volume_of(millilitres: float, whole_millilitres: float, style: Style) -> str:
    """A part of a large volume, and the whole: what is left in a keg, and its size."""
    part, _, unit = volume(millilitres, style).rpartition(" ")
    whole, _, _ = volume(whole_millilitres, style).rpartition(" ")
    return f"{part} of {whole} {unit}"


def small_volume(millilitres: float, style: Style) -> str:
    """A small volume: what is in a glass."""
    if style.units == "us":
        return decimal(f"{millilitres / ML_PER_OUNCE:.1f} oz", style.language)
    if round(millilitres) >= 1000:
        return decimal(f"{millilitres / 1000:.2f} l", style.language)
    return f"{millilitres:.0f} ml"


def degrees(millidegrees: float, units: Units) -> float:
    """A temperature in the unit that is shown, to a tenth."""
    celsius = millidegrees / 1000
    return round(celsius * 9 / 5 + 32 if units == "us" else celsius, 1)


def temperature(millidegrees: float, style: Style) -> str:
    """A temperature with its unit."""
    unit = "°F" if style.units == "us" else "°C"
    return decimal(f"{degrees(millidegrees, style.units):.1f} {unit}", style.language)
