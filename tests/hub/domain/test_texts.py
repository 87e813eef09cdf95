"""Texts of others do no harm, wherever they are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.hub.domain import texts


@pytest.mark.parametrize(
    "hidden", ["\0", "\n", "\x1b", "\x7f", "\x85", "\u200b", "\u202e", "\u2028", "\u2029", "\ue000", "\ud800"]
)
def test_what_nobody_can_see_is_refused_and_named(hidden: str) -> None:
    with pytest.raises(ValueError, match=f"U\\+{ord(hidden):04X}"):
        texts.check_visible(f"Hel{hidden}les")


@pytest.mark.parametrize("text", ["Helles", "Kölsch № 5", "黒ビール", "🍺", "a b", ""])
def test_what_can_be_seen_stays(text: str) -> None:
    assert texts.check_visible(text) == text
    assert texts.clean(text) == text


@given(st.text(), st.integers(1, 50))
def test_a_text_that_is_cleaned_can_be_seen_is_one_line_and_fits(text: str, max_length: int) -> None:
    shown = texts.clean(text, max_length)
    assert texts.check_visible(shown) == shown
    assert len(shown) <= max_length
    assert shown.splitlines() in ([], [shown])


def test_a_text_that_is_cut_says_so() -> None:
    assert texts.clean("a\tlong\x1b[31m line", 12) == "a long?[31m…"
