"""Every text of the pages stands in every language, and numbers are read as people of the settings' units read them."""

import re
from pathlib import Path

import pytest

from kegnet_client.hub.dashboard import figures, words, words_brewing, words_doing, words_settings, words_wrong
from kegnet_client.hub.dashboard.words import Words
from kegnet_client.hub.domain.measures import Shown
from kegnet_client.hub.domain.numerals import LANGUAGES


def test_every_text_stands_in_every_language_with_the_same_places() -> None:
    for name, texts in words._WORDS.items():
        assert len(texts) == len(LANGUAGES), name
        places = [re.findall(r"{(\w+)", text) for text in texts]
        assert all(sorted(one) == sorted(places[0]) for one in places), name
        assert all(texts), name


def test_no_text_takes_the_place_of_another_one() -> None:
    parts = [words_brewing.WORDS, words_doing.WORDS, words_settings.WORDS, words_wrong.WORDS]
    names = re.findall(r'^    "(\w+)": \(', Path(words.__file__).read_text(), re.MULTILINE)
    names += [name for part in parts for name in part]
    assert len(names) == len(set(names)) == len(words._WORDS)


def test_an_unknown_language_is_english() -> None:
    assert Words("fr")("taps") == "Taps"
    assert Words("de")("taps") == "Zapfhähne"


@pytest.mark.parametrize(
    ("age_ms", "expected"),
    [
        (-5, "0 s ago"),
        (59_999, "59 s ago"),
        (60_000, "1 min ago"),
        (119 * 60_000, "119 min ago"),
        (120 * 60_000, "2 h ago"),
        (47 * 3_600_000, "47 h ago"),
        (48 * 3_600_000, "2 d ago"),
    ],
)
def test_an_age_is_told_in_one_unit(age_ms: int, expected: str) -> None:
    assert Words("en").ago(age_ms) == expected


def test_volumes_and_temperatures_are_told_in_the_units_of_the_settings() -> None:
    assert figures.volume(18_927, Shown("metric")) == "18.9 l"
    assert figures.volume(18_927.06, Shown("us")) == "5.00 gal"
    assert figures.small_volume(330, Shown("metric")) == "330 ml"
    assert figures.small_volume(1500, Shown("metric")) == "1.50 l"
    assert figures.small_volume(999.999, Shown("metric")) == "1.00 l"
    assert figures.small_volume(473.18, Shown("us")) == "16.0 oz"
    assert figures.temperature(3875, Shown("metric")) == "3.9 °C"
    assert figures.temperature(0, Shown("us")) == "32.0 °F"
    assert figures.moment(0, "Europe/Berlin") == "1970-01-01 01:00:00"


def test_in_german_numbers_have_a_comma() -> None:
    metric, us = Shown("metric", "de"), Shown("us", "de")
    assert figures.volume(18_927, metric) == "18,9 l"
    assert figures.volume(18_927.06, us) == "5,00 gal"
    assert figures.small_volume(330, metric) == "330 ml"
    assert figures.small_volume(1500, metric) == "1,50 l"
    assert figures.small_volume(473.18, us) == "16,0 oz"
    assert figures.temperature(-3875, metric) == "-3,9 °C"
    assert figures.pulse(185_185, "de") == ("0,1852", "5,400")
    assert figures.change(200, 190, "de") == "-5,0 %"
    assert Words("de")("wrong_greater_than", gt=0.5) == "muss größer als 0,5 sein"
    assert Words("en")("wrong_greater_than", gt=0.5) == "it has to be more than 0.5"


def test_a_time_is_typed_where_the_hub_is() -> None:
    assert figures.local_time(0, "Europe/Berlin") == "1970-01-01T01:00"
    assert figures.unix_ms("1970-01-01T01:00", "Europe/Berlin") == 0
    with pytest.raises(ValueError, match="isoformat"):
        figures.unix_ms("", "UTC")


def test_what_a_pulse_is_worth_is_told_both_ways() -> None:
    assert figures.pulse(185_185, "en") == ("0.1852", "5.400")
    assert figures.change(200, 190, "en") == "-5.0 %"
