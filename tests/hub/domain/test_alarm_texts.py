"""Each text of an alarm stands in each language, with the same places to be filled, and a time is told in one unit."""

import re

import pytest

from kegnet_client.hub.domain import alarm_texts
from kegnet_client.hub.domain.alarm_texts import TEXTS
from kegnet_client.hub.domain.numerals import LANGUAGES, Language


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_has_the_same_places_in_each_language(name: str) -> None:
    places = [sorted(re.findall(r"{(\w+)}", text)) for text in TEXTS[name]]
    assert len(places) == len(LANGUAGES)
    assert all(one == places[0] for one in places)


@pytest.mark.parametrize(
    ("language", "ms", "expected"),
    [
        ("en", 119_000, "119 s"),
        ("en", 120_000, "2 min"),
        ("en", 26 * 60_000, "26 min"),
        ("de", 2 * 3_600_000, "2 h"),
        ("en", 49 * 3_600_000, "2 days"),
        ("de", 49 * 3_600_000, "2 Tagen"),
    ],
)
def test_a_time_is_told_in_one_unit(language: Language, ms: int, expected: str) -> None:
    assert alarm_texts.span(language, ms) == expected
