"""What is left in a keg, in numbers that can be shown whatever was said and counted."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.hub.domain.levels import Level, is_stale, level_of


def test_a_level_is_told_in_percent_of_the_keg_in_millilitres_and_in_glasses() -> None:
    level = level_of(50_000, 10_000, 1_000_000_000)
    assert (level.left_nl, level.percent, level.left_ml, level.glasses(500)) == (9_000_000_000, 18.0, 9000.0, 18)


def test_a_full_keg_is_what_it_holds() -> None:
    assert level_of(50_000, None, 0) == Level(50_000_000_000, 50_000_000_000)


@given(
    st.floats(1e-9, 1e7),
    st.none() | st.floats(0, 1e7),
    st.integers(0, 10**18),
    st.floats(0, 1e7, exclude_min=True),
)
def test_whatever_was_counted_there_is_something_to_show(
    size_ml: float, start_ml: float | None, poured_nl: int, glass_ml: float
) -> None:
    level = level_of(size_ml, start_ml, poured_nl)
    assert level.left_nl == round((size_ml if start_ml is None else start_ml) * 1_000_000) - poured_nl
    assert 0 <= level.percent <= 100
    assert level.left_ml >= 0
    assert level.glasses(glass_ml) >= 0
    assert math.isfinite(level.percent)


@pytest.mark.parametrize(("at_ms", "stale"), [(1000, False), (940, False), (939, True), (1060, False), (1061, True)])
def test_a_number_past_its_due_or_of_a_clock_that_is_ahead_is_stale(at_ms: int, stale: bool) -> None:
    assert is_stale(at_ms, 1000, 60) is stale


def test_a_number_that_is_not_known_is_stale() -> None:
    assert is_stale(None, 1000, 60)
