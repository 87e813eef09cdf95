"""Numbers as they are read on a screen, in the units of the settings. Pure."""

import datetime
from zoneinfo import ZoneInfo

from kegnet_client.hub.domain import measures, numerals
from kegnet_client.hub.domain.numerals import Language

ML_PER_OUNCE = measures.ML_PER_OUNCE
ML_PER_GALLON = measures.ML_PER_GALLON
volume = measures.volume
small_volume = measures.small_volume
degrees = measures.degrees
temperature = measures.temperature
decimal = numerals.decimal


def moment(unix_ms: int, timezone: str) -> str:
    """A time of day with its date, where the hub is."""
    return datetime.datetime.fromtimestamp(unix_ms / 1000, ZoneInfo(timezone)).strftime("%Y-%m-%d %H:%M:%S")


def pulse(nanolitres: int, language: Language) -> tuple[str, str]:
    """What a pulse is worth: millilitres a pulse, and pulses a millilitre."""
    return decimal(f"{nanolitres / 1_000_000:.4f}", language), decimal(f"{1_000_000 / nanolitres:.3f}", language)


def change(before: float, after: float, language: Language) -> str:
    """What part of ``before`` is added or taken away."""
    return decimal(f"{(after - before) * 100 / before:+.1f} %", language)


def local_time(unix_ms: int, timezone: str) -> str:
    """As a browser's field for a time takes it."""
    return datetime.datetime.fromtimestamp(unix_ms / 1000, ZoneInfo(timezone)).strftime("%Y-%m-%dT%H:%M")


def unix_ms(local: str, timezone: str) -> int:
    """The time that such a field holds; `ValueError` where it holds none."""
    return round(datetime.datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(timezone)).timestamp() * 1000)
