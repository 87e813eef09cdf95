"""Every text of the pages, in English and in German. Pure."""

from collections.abc import Mapping

from kegnet_client.hub.dashboard import words_brewing, words_doing, words_settings, words_wrong
from kegnet_client.hub.domain.numerals import LANGUAGES, Language, fill

_WORDS: Mapping[str, tuple[str, str]] = {
    "taps": ("Taps", "Zapfhähne"),
    "pages": ("Pages", "Seiten"),
    "temperatures": ("Temperatures", "Temperaturen"),
    "pours": ("Pours", "Gezapftes"),
    "devices": ("Devices", "Geräte"),
    "settings": ("Settings", "Einstellungen"),
    "log_in": ("Log in", "Anmelden"),
    "logged_in": ("Logged in as {who}.", "Angemeldet als {who}."),
    "log_out": ("Log out", "Abmelden"),
    "no_taps": ("No tap is set up yet.", "Noch kein Zapfhahn eingerichtet."),
    "no_keg": ("no keg", "kein Fass"),
    "a_keg": ("a keg", "ein Fass"),
    "left": ("{volume} left", "noch {volume}"),
    "of": ("of {volume}", "von {volume}"),
    "one_glass": ("1 glass", "1 Glas"),
    "glasses": ("{count} glasses", "{count} Gläser"),
    "last_pour": ("last pour {ago}", "zuletzt gezapft {ago}"),
    "never_poured": ("nothing poured yet", "noch nichts gezapft"),
    "no_temperature": ("no temperature", "keine Temperatur"),
    "stale": ("not current: read {ago}", "nicht aktuell: gelesen {ago}"),
    "level_stale": ("not current: device last heard of {ago}", "nicht aktuell: Gerät zuletzt gehört {ago}"),
    "level_unheard": ("not current: device never heard of", "nicht aktuell: vom Gerät noch nie gehört"),
    "seconds_ago": ("{count} s ago", "vor {count} s"),
    "minutes_ago": ("{count} min ago", "vor {count} min"),
    "hours_ago": ("{count} h ago", "vor {count} h"),
    "days_ago": ("{count} d ago", "vor {count} d"),
    "when": ("When", "Wann"),
    "tap": ("Tap", "Zapfhahn"),
    "keg": ("Keg", "Fass"),
    "volume": ("Volume", "Menge"),
    "unassigned": ("Unassigned only", "Nur nicht zugeordnete"),
    "more": ("Older", "Ältere"),
    "newest": ("Newest", "Neueste"),
    "void": ("It was no pour", "Es war nichts"),
    "spill": ("Nobody drank it", "Verschüttet"),
    "volume_was": ("The volume was", "Die Menge war"),
    "keg_was": ("It was from keg", "Es war aus Fass"),
    "none": ("As it was measured", "Wie gemessen"),
    "reason": ("Why", "Warum"),
    "save": ("Save", "Speichern"),
    "cancel": ("Cancel", "Abbrechen"),
    "saved": ("Saved", "Gespeichert"),
    "name": ("Name", "Name"),
    "last_seen": ("Last heard of", "Zuletzt gehört"),
    "never": ("never", "nie"),
    "silent": ("silent: last {ago}", "stumm: zuletzt {ago}"),
    "address": ("Address", "Adresse"),
    "key": ("Key", "Schlüssel"),
    "revoked": ("revoked", "gesperrt"),
    "no_readings": ("No readings yet.", "Noch keine Messwerte."),
    "range": ("Range", "Zeitraum"),
    "hours": ("{count} hours", "{count} Stunden"),
    "days": ("{count} days", "{count} Tage"),
    "units": ("Units", "Einheiten"),
    "metric": ("litres, °C", "Liter, °C"),
    "us": ("US gallons, °F", "US-Gallonen, °F"),
    "glass": ("A glass holds (ml)", "Ein Glas fasst (ml)"),
    "timezone": ("Time zone", "Zeitzone"),
    "language": ("Language", "Sprache"),
    "accent": ("Colour (#rrggbb)", "Farbe (#rrggbb)"),
    "new_keg": ("Tap a new keg", "Neues Fass anstechen"),
    "change_keg": ("Change the keg", "Fass ändern"),
    "end_keg": ("The keg is empty", "Das Fass ist leer"),
    "beverage": ("Beverage", "Getränk"),
    "size": ("Size (litres)", "Größe (Liter)"),
    "in_it": ("In it now (litres), if it is not full", "Jetzt darin (Liter), falls nicht voll"),
    "in_it_gallons": ("In it now (gallons), if it is not full", "Jetzt darin (Gallonen), falls nicht voll"),
    "in_it_first": ("In it at first (litres), if it was not full", "Anfangs darin (Liter), falls nicht voll"),
    "in_it_first_gallons": (
        "In it at first (gallons), if it was not full",
        "Anfangs darin (Gallonen), falls nicht voll",
    ),
    "new_tap": ("Another tap", "Weiterer Zapfhahn"),
    "device": ("Device", "Gerät"),
    "pin": ("Pin", "Pin"),
    "sensor": ("Thermometer", "Thermometer"),
    "guest": ("You may look, and change nothing.", "Sie dürfen schauen, aber nichts ändern."),
    "wrong": ("This cannot be: {text}", "Das geht nicht: {text}"),
    "alarms": ("Alarms", "Alarme"),
    "no_alarms": ("Nothing is wrong.", "Alles in Ordnung."),
    "standing": ("{count} standing", "{count} offen"),
    "acknowledge": ("Acknowledge", "Zur Kenntnis genommen"),
    "what": ("What", "Was"),
    "since": ("Since", "Seit"),
    "state": ("State", "Zustand"),
    "raised": ("is wrong", "liegt vor"),
    "acknowledged": ("is wrong, known of", "liegt vor, bekannt"),
    "cleared": ("over, not acknowledged", "vorbei, nicht bestätigt"),
    "ended": ("over", "vorbei"),
    "history": ("History", "Verlauf"),
    "profiles": ("Profiles", "Profile"),
    "by": ("by {who}", "von {who}"),
    "until": ("until {when}", "bis {when}"),
    **words_brewing.WORDS,
    **words_doing.WORDS,
    **words_settings.WORDS,
    **words_wrong.WORDS,
}


class Words:
    """The texts in one language."""

    def __init__(self, language: str) -> None:
        self.language: Language = next((one for one in LANGUAGES if one == language), LANGUAGES[0])
        self._place = LANGUAGES.index(self.language)

    def __contains__(self, name: str) -> bool:
        return name in _WORDS

    def __call__(self, name: str, **fields: object) -> str:
        """The text called ``name``, with ``fields`` put in."""
        return fill(_WORDS[name][self._place], self.language, fields)

    def ago(self, age_ms: int) -> str:
        """How long ago, in one unit; a device's clock may be ahead."""
        seconds = max(0, age_ms // 1000)
        for unit, length_s in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
            if seconds >= 2 * length_s or (unit == "minutes" and seconds >= length_s):
                return self(f"{unit}_ago", count=seconds // length_s)
        return self("seconds_ago", count=seconds)
