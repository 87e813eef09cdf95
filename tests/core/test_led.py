"""The status LED's patterns: what each tells, and when it is lit."""

from typing import Any

import pytest

from kegnet_client.core.led import Pattern, choose_pattern, is_lit

UP, WAITING, REFUSED, UNTRIED = ({"link": link} for link in ("up", "waiting", "misconfigured", "not tried yet"))


@pytest.mark.parametrize(
    ("state", "pattern"),
    [
        (None, Pattern.OFF),
        (UP | {"delivery_problems": [], "problems": ["no temperature sensor on the 1-Wire bus"]}, Pattern.ON),
        (WAITING, Pattern.SLOW),
        (UNTRIED, Pattern.SLOW),
        (REFUSED, Pattern.FAST),
        (UP | {"delivery_problems": ["x.pour stays where it is"]}, Pattern.FAST),
        (UP | {"sinks": {"kegnet": UP, "mqtt": UP}}, Pattern.ON),
        (UP | {"sinks": {"kegnet": UP, "mqtt": WAITING}}, Pattern.SLOW),
        (UP | {"sinks": {"kegnet": WAITING, "mqtt": REFUSED}}, Pattern.FAST),
        ({}, Pattern.SLOW),
    ],
)
def test_the_worst_of_all_sinks_is_shown(state: dict[str, Any] | None, pattern: Pattern) -> None:
    assert choose_pattern(state) is pattern


@pytest.mark.parametrize(
    ("pattern", "lit"),
    [
        (Pattern.OFF, "............"),
        (Pattern.ON, "############"),
        (Pattern.SLOW, "#####.....##"),
        (Pattern.FAST, "#.#.#.#.#.#."),
    ],
)
def test_one_that_blinks_is_lit_as_long_as_it_is_dark(pattern: Pattern, lit: str) -> None:
    assert "".join(".#"[is_lit(pattern, now_ms)[0]] for now_ms in range(0, 2400, 200)) == lit


@pytest.mark.parametrize("pattern", [Pattern.SLOW, Pattern.FAST])
@pytest.mark.parametrize("now_ms", [0, 1, 199, 200, 999, 1000, 12_345_678])
def test_it_holds_for_exactly_as_long_as_it_says(pattern: Pattern, now_ms: int) -> None:
    lit, holds_ms = is_lit(pattern, now_ms)
    assert holds_ms > 0
    assert is_lit(pattern, now_ms + holds_ms - 1)[0] == lit
    assert is_lit(pattern, now_ms + holds_ms)[0] != lit
