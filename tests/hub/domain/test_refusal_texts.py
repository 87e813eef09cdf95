"""Each text of a refusal stands in each language, and says no more of it in one than in another."""

import re
from pathlib import Path

import pytest

from kegnet_client.hub.domain import refusal_texts
from kegnet_client.hub.domain.numerals import LANGUAGES
from kegnet_client.hub.domain.refusal_texts import KINDS, TEXTS, RefusalError
from kegnet_client.hub.store import bodies

HUB = Path(refusal_texts.__file__).parents[1]


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_has_the_same_places_in_each_language(name: str) -> None:
    places = [sorted(re.findall(r"{([^}]+)}", text)) for text in TEXTS[name]]
    assert len(places) == len(LANGUAGES)
    assert all(one == places[0] for one in places)


def test_every_text_is_of_a_refusal_that_there_is() -> None:
    sources = "".join(one.read_text() for one in HUB.rglob("*.py") if one.name != "refusal_texts.py")
    assert {name for name in TEXTS if not re.search(f'"{name}"', sources)} == set()


def test_what_has_a_number_is_called_by_its_german_name_and_in_english_as_the_api_calls_it() -> None:
    error = RefusalError("no-such", kind="keg", number=7)
    assert str(error) == error.tell("en") == "there is no keg 7"
    assert error.tell("de") == "Fass 7 gibt es nicht"
    assert bodies.KINDS.keys() - KINDS.keys() == {"adjustment", "settings"}
