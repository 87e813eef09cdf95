"""Why something is refused, in English and in German. Pure.

The API and the command line tell it in English, as `str` of the error does; the pages in the hub's language.
"""

from collections.abc import Mapping

from kegnet_client.core.errors import KegnetError, UsageError
from kegnet_client.hub.domain.numerals import LANGUAGES, Language, fill

TEXTS: Mapping[str, tuple[str, str]] = {
    "no-such": ("there is no {kind} {number}", "{kind} {number} gibt es nicht"),
    "no-standing-alarm": ("there is no alarm {number} that stands", "Alarm {number} ist nicht offen"),
    "meter-at-two-taps": (
        "pin {pin} of {device} would count for taps {first} and {second} at one time: end the first with until_ms",
        "Pin {pin} von {device} würde zugleich für die Zapfhähne {first} und {second} zählen",
    ),
    "two-meters": (
        "tap {tap} would have two meters at one time: end the first with until_ms",
        "Zapfhahn {tap} hätte zugleich zwei Zähler",
    ),
    "two-kegs": (
        "kegs {first} and {second} would run from tap {tap} at one time: end the first with until_ms",
        "die Fässer {first} und {second} liefen zugleich aus Zapfhahn {tap}",
    ),
    "holds-no-more": (
        "a keg of {size_ml:g} ml holds no {start_ml:g} ml",
        "ein Fass von {size_ml:g} ml fasst keine {start_ml:g} ml",
    ),
    "one-place": (
        "a profile runs on a sensor or on a controller's chamber: name one",
        "ein Profil läuft an einem Thermometer oder in einer Kammer: bitte eines davon angeben",
    ),
    "token-is-there": (
        "there is a token named {name!r} already: choose another name",
        "ein Token namens {name!r} gibt es schon: bitte einen anderen Namen wählen",
    ),
    "no-token": (
        "there is no token named {name!r}; `kegnet-client hub token list` shows them",
        "ein Token namens {name!r} gibt es nicht",
    ),
    "hidden-character": (
        "it holds the character U+{number:04X}, which nobody can see",
        "darin ist das Zeichen U+{number:04X}, das niemand sehen kann",
    ),
    "ends-before": ("until_ms: it ends before it begins", "es endet, bevor es beginnt"),
    "one-measure": ("volume_ml, weight_g: one of them goes with pulses", "zu Impulsen gehört Menge oder Gewicht"),
    "no-figure": (
        "nanolitres_per_pulse: expected it, or pulses with volume_ml or weight_g",
        "der Wert fehlt, oder Impulse mit Menge oder Gewicht",
    ),
    "other-figure": (
        "nanolitres_per_pulse: what was measured says {measured}",
        "gemessen wurden {measured} Nanoliter je Impuls",
    ),
    "no-pulses": ("pulses: the pour that was measured has none", "das Gezapfte hat keine Impulse"),
    "no-volume": ("volume_ml: expected more than nothing", "die Menge muss größer als nichts sein"),
    "no-weight": ("weight_g: expected more than nothing", "das Gewicht muss größer als nichts sein"),
    "no-such-meter": (
        "{millilitres:g} ml of {pulses} pulses are {result} nanolitres a pulse, which no meter has",
        "{millilitres:g} ml aus {pulses} Impulsen wären {result} Nanoliter je Impuls, das hat kein Zähler",
    ),
    "gravity-out-of-range": (
        "specific_gravity: expected {least} to {most}",
        "die relative Dichte muss zwischen {least} und {most} liegen",
    ),
    "volume-missing": ("volume_ml: expected the volume that it was", "die Menge fehlt"),
    "keg-missing": ("keg: expected the keg that it was from", "das Fass fehlt"),
    "no-zone": ("expected a time zone such as Europe/Berlin", "keine Zeitzone wie Europe/Berlin"),
    "too-light": (
        "white text on this colour cannot be read: take a darker one",
        "weiße Schrift ist auf dieser Farbe nicht zu lesen: bitte eine dunklere",
    ),
    "days-backwards": (
        "temperatures: point {number} is of day {after:g}, after day {before:g}",
        "Punkt {number} ist von Tag {after:g}, steht aber nach Tag {before:g}",
    ),
    "point-again": (
        "temperatures: point {number} is the one before it again, of day {day:g}",
        "Punkt {number} ist noch einmal der davor, von Tag {day:g}",
    ),
    "third-of-a-day": (
        "temperatures: point {number} is the third of day {day:g}, where a step has two",
        "Punkt {number} ist der dritte von Tag {day:g}, eine Stufe hat zwei",
    ),
    "limit-out-of-range": ("{name}: expected {least} to {most}", "{name}: erlaubt sind {least} bis {most}"),
    "low-above-high": (
        "lowest_millidegrees: it is above highest_millidegrees",
        "die niedrigste Temperatur liegt über der höchsten",
    ),
    "no-such-limit": ("{name}: there is no such rule", "{name}: so einen Grenzwert gibt es nicht"),
}
KINDS: Mapping[str, str] = {
    "tap": "Zapfhahn",
    "keg": "Fass",
    "beverage": "Getränk",
    "pour": "Gezapftes",
    "profile": "Profil",
    "run": "Lauf",
    "controller": "Regler",
    "calibration": "Kalibrierung",
    "rule": "Grenzwert",
}
"""The German for what has a number; in English it is called what it is."""


def tell(language: Language, text: str, /, **fields: object) -> str:
    """The text called ``text``, with ``fields`` put in."""
    if language == "de" and "kind" in fields:
        fields = {**fields, "kind": KINDS.get(str(fields["kind"]), fields["kind"])}
    return fill(TEXTS[text][LANGUAGES.index(language)], language, fields)


class _TextError(Exception):
    """The text called ``text``, with ``fields``."""

    def __init__(self, text: str, /, **fields: object) -> None:
        super().__init__(tell("en", text, **fields))
        self._text, self._fields = text, fields

    def tell(self, language: Language) -> str:
        """Why it is refused."""
        return tell(language, self._text, **self._fields)


class RefusalError(_TextError, KegnetError):
    """What is asked for does not go with what holds."""


class WrongUseError(_TextError, UsageError):
    """As `RefusalError`, for whom a command is the usual way."""


class WrongValueError(_TextError, ValueError):
    """A value is wrong by itself, whatever holds: pydantic takes it as it does every `ValueError`."""
