"""What the bridge's alarms say, in German: each by the English template of its error. Pure."""

from collections.abc import Mapping

from kegnet_client.core.errors import ControllerError
from kegnet_client.hub.domain.numerals import Language, fill

GERMAN: Mapping[str, str] = {
    "its display is not 1 to {most} lines of text": "seine Anzeige ist nicht 1 bis {most} Zeilen Text",
    "its display shows no temperature in {line!a}": "seine Anzeige zeigt keine Temperatur in {line!a}",
    "its settings are not an object with a mode": "seine Einstellungen sind kein Objekt mit einem Modus",
    "its settings name no profile as text": "seine Einstellungen nennen kein Profil als Text",
    "its port {port!a} is none; write a whole number from 1 to {most}": (
        "sein Port {port!a} ist keiner; er muss eine ganze Zahl von 1 bis {most} sein"
    ),
    "it closed the connection without an answer": "er hat die Verbindung ohne Antwort geschlossen",
    "its answer of {count} bytes is not one whole JSON document": (
        "seine Antwort von {count} Bytes ist kein ganzes JSON-Dokument"
    ),
    "its {name} is no temperature": "sein {name} ist keine Temperatur",
    "no whole answer within {seconds:g} s": "keine ganze Antwort innerhalb von {seconds:g} s",
    "no connection to {where} ({reason})": "keine Verbindung zu {where} ({reason})",
    "its entry at the hub has neither a socket nor an address with a port": (
        "sein Eintrag im Hub hat weder einen Socket noch eine Adresse mit Port"
    ),
    "it cut the connection": "er hat die Verbindung abgebrochen",
    "its answer is longer than {most} bytes": "seine Antwort ist länger als {most} Bytes",
}


def tell_fault(language: Language, error: ControllerError) -> str:
    """What ``error`` says in this language; the reasons of the operating system stay as they are."""
    german = GERMAN.get(error.template)
    return str(error) if language == "en" or german is None else fill(german, language, error.fields)
