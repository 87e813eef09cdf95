"""A page says in its own language why something cannot be."""

from typing import Any

import pytest

pytest.importorskip("nicegui", reason="takes the extra dashboard")

from pydantic import ValidationError
from sqlalchemy import Connection

from kegnet_client.hub.dashboard.words import Words
from kegnet_client.hub.dashboard.wrong import tell_why
from kegnet_client.hub.domain.refusal_texts import WrongUseError
from kegnet_client.hub.domain.roles import Role
from kegnet_client.hub.store import bodies, house, tokens
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.entries import ChangedError
from kegnet_client.hub.store.records import Store

from ..conftest import NOW_MS

ENGLISH, GERMAN = Words("en"), Words("de")
POINTS = [{"days": 3, "temperature": 4}, {"days": 1, "temperature": 5}]


@pytest.mark.parametrize(
    ("kind", "body", "english", "german"),
    [
        ("keg", {"size_ml": 0}, "size: it has to be more than 0", "Größe: muss größer als 0 sein"),
        ("keg", {"size_ml": 1e9}, "size: it has to be at most 1e+07", "Größe: darf höchstens 1e+07 sein"),
        ("keg", {"size_ml": "many"}, "size: it is no number", "Größe: ist keine Zahl"),
        ("keg", {"size_ml": float("nan")}, "size: it is no number", "Größe: ist keine Zahl"),
        ("keg", {}, "size: it is missing", "Größe: fehlt"),
        ("tap", {"name": " "}, "name: it is empty", "Name: ist leer"),
        ("tap", {"name": "x" * 101}, "name: it has more than 100 characters", "Name: hat mehr als 100 Zeichen"),
        (
            "tap",
            {"name": "a\u202eb"},
            "name: it holds the character U+202E, which nobody can see",
            "Name: darin ist das Zeichen U+202E, das niemand sehen kann",
        ),
        (
            "tap",
            {"name": "x", "sensor": "x"},
            "thermometer: it is not written as it has to be",
            "Thermometer: ist nicht geschrieben, wie es sein muss",
        ),
        (
            "settings",
            {"timezone": "Bar"},
            "time zone: expected a time zone such as Europe/Berlin",
            "Zeitzone: keine Zeitzone wie Europe/Berlin",
        ),
        (
            "settings",
            {"accent": "#ffffff"},
            "colour: white text on this colour cannot be read: take a darker one",
            "Farbe: weiße Schrift ist auf dieser Farbe nicht zu lesen: bitte eine dunklere",
        ),
        ("settings", {"units": "none"}, "units: this value is not possible", "units: dieser Wert ist nicht möglich"),
        (
            "profile",
            {"name": "x", "temperatures": POINTS},
            "temperatures: point 2 is of day 1, after day 3",
            "Punkt 2 ist von Tag 1, steht aber nach Tag 3",
        ),
        (
            "rule",
            {"subject": "all", "limits": {"keg_below_percent": 200}},
            "keg_below_percent: expected 1 to 100",
            "keg_below_percent: erlaubt sind 1 bis 100",
        ),
    ],
)
def test_what_is_wrong_with_a_field(kind: str, body: dict[str, Any], english: str, german: str) -> None:
    with pytest.raises(ValidationError) as caught:
        bodies.KINDS[kind].model_validate(body)
    assert (tell_why(ENGLISH, caught.value), tell_why(GERMAN, caught.value)) == (english, german)


@pytest.mark.parametrize(
    ("kind", "body", "german"),
    [
        ("keg", {"size_ml": 10, "start_ml": 11}, "ein Fass von 10 ml fasst keine 11 ml"),
        ("keg", {"size_ml": 10, "beverage": 7}, "Getränk 7 gibt es nicht"),
        ("run", {"profile": 7, "started_ms": 1}, "ein Profil läuft an einem Thermometer oder in einer Kammer"),
    ],
)
def test_what_does_not_go_with_what_holds(store: Store, kind: str, body: dict[str, Any], german: str) -> None:
    checked = bodies.KINDS[kind].model_validate(body)
    with pytest.raises(house.WrongEntryError) as caught:
        store.write(lambda connection: house.say(connection, kind, None, checked, "anna", NOW_MS))
    assert tell_why(GERMAN, caught.value).startswith(german)
    assert tell_why(ENGLISH, caught.value) == str(caught.value)


def test_a_token_whose_name_is_taken(store: Store) -> None:
    def make(connection: Connection) -> str:
        return tokens.make(connection, "bar", Role.READ, NOW_MS)

    store.write(make)
    with pytest.raises(WrongUseError) as caught:
        store.write(make)
    assert tell_why(GERMAN, caught.value) == "ein Token namens 'bar' gibt es schon: bitte einen anderen Namen wählen"


def test_a_database_that_cannot_answer_and_a_change_by_somebody_else() -> None:
    assert tell_why(GERMAN, StoreError("busy")) == "die Datenbank kann gerade nicht antworten"
    assert tell_why(GERMAN, ChangedError("berta")).startswith("Jemand anderes hat es inzwischen geändert")
