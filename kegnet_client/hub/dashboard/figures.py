"""Numbers as they are read on a screen, in the units of the settings. Pure."""

import datetime
from zoneinfo import ZoneInfo

_ML_PER_GALLON = 3785.411784
ML_PER_OUNCE = 29.5735295625


def volume(millilitres: float, units: str) -> str:
    """A large volume: what is in a keg."""
    if units == "us":
        return f"{millilitres / _ML_PER_GALLON:.2f} gal"
    return f"{millilitres / 1000:.1f} l"


def small_volume(millilitres: float, units: str) -> str:
    """A small volume: what is in a glass."""
    if units == "us":
        return f"{millilitres / ML_PER_OUNCE:.1f} oz"
    return f"{millilitres / 1000:.2f} l" if round(millilitres) >= 1000 else f"{millilitres:.0f} ml"


def degrees(millidegrees: float, units: str) -> float:
    """A temperature in the unit that is shown, to a tenth."""
    celsius = millidegrees / 1000
    return round(celsius * 9 / 5 + 32 if units == "us" else celsius, 1)


def temperature(millidegrees: float, units: str) -> str:
    """A temperature with its unit."""
    return f"{degrees(millidegrees, units):.1f} {'°F' if units == 'us' else '°C'}"


def moment(unix_ms: int, timezone: str) -> str:
    """A time of day with its date, where the hub is."""
    return datetime.datetime.fromtimestamp(unix_ms / 1000, ZoneInfo(timezone)).strftime("%Y-%m-%d %H:%M:%S")


def pulse(nanolitres: int) -> tuple[str, str]:
    """What a pulse is worth: millilitres a pulse, and pulses a millilitre."""
    return f"{nanolitres / 1_000_000:.4f}", f"{1_000_000 / nanolitres:.3f}"


def change(before: float, after: float) -> str:
    """What part of ``before`` is added or taken away."""
    return f"{(after - before) * 100 / before:+.1f} %"


def local_time(unix_ms: int, timezone: str) -> str:
    """As a browser's field for a time takes it."""
    return datetime.datetime.fromtimestamp(unix_ms / 1000, ZoneInfo(timezone)).strftime("%Y-%m-%dT%H:%M")


def unix_ms(local: str, timezone: str) -> int:
    """The time that such a field holds; `ValueError` where it holds none."""
    return round(datetime.datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(timezone)).timestamp() * 1000)
