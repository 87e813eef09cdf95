"""What alarms say, in English and in German. Pure."""

from collections.abc import Mapping

from kegnet_client.hub.domain.numerals import LANGUAGES, Language, fill

TEXTS: Mapping[str, tuple[str, str]] = {
    "device-silent": ("{name}: silent for {span}", "{name}: stumm seit {span}"),
    "refused": ("{name}: {count} records refused within an hour", "{name}: {count} Datensätze je Stunde abgelehnt"),
    "cloned": (
        "{name}: two machines send as this device, its card was copied",
        "{name}: zwei Rechner senden als dieses Gerät, seine Karte wurde kopiert",
    ),
    "sensor-silent": ("{name}: no reading for {span}", "{name}: kein Messwert seit {span}"),
    "off-profile": (
        "{name}: {value}, the profile wants {limit}, for {span}",
        "{name}: {value} statt {limit}, seit {span}",
    ),
    "too-cold": ("{name}: {value}, below {limit}, for {span}", "{name}: {value}, unter {limit}, seit {span}"),
    "too-warm": ("{name}: {value}, above {limit}, for {span}", "{name}: {value}, über {limit}, seit {span}"),
    "keg-low": ("{name}: {volume} left, {percent:g} %", "{name}: noch {volume}, {percent:g} %"),
    "pour-too-long": ("{name}: a pour of {span}", "{name}: {span} lang gezapft"),
    "pour-too-fast": (
        "{name}: a pour of {volume} a second: a leak, or the keg is blown",
        "{name}: {volume} je Sekunde gezapft: ein Leck, oder das Fass ist leer",
    ),
    "drips": ("{name}: {volume} dripped within an hour", "{name}: {volume} in einer Stunde getropft"),
    "a-keg": ("keg {number}", "Fass {number}"),
    "a-pin": ("pin {number}", "Pin {number}"),
    # Of these it is only ever told since when; nobody pours for days.
    "days": ("{count} days", "{count} Tagen"),
    "h": ("{count} h", "{count} h"),
    "min": ("{count} min", "{count} min"),
    "s": ("{count} s", "{count} s"),
}


def tell(language: Language, text: str, /, **fields: object) -> str:
    """The text called ``text``, with ``fields`` put in."""
    return fill(TEXTS[text][LANGUAGES.index(language)], language, fields)


def span(language: Language, ms: int) -> str:
    """A time of so long, in one unit."""
    for length_ms, name in ((86_400_000, "days"), (3_600_000, "h"), (60_000, "min")):
        if ms >= 2 * length_ms:
            return tell(language, name, count=ms // length_ms)
    return tell(language, "s", count=ms // 1000)
