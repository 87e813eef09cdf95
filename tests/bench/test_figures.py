"""The bench's arithmetic, which every figure goes through."""

import pytest

from .bench.figures import median, percentile, readable


def test_a_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 3, 2]) == 2.5


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (99.5, 100), (100, 100), (0, 1)])
def test_a_percentile_is_the_smallest_sample_that_so_many_do_not_exceed(percent: float, expected: float) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_the_99th_percentile_of_few_is_the_worst() -> None:
    assert percentile([1, 5, 3], 99) == 5


@pytest.mark.parametrize(
    ("value", "text"), [(9588.2, "9,588"), (100.4, "100"), (38.04, "38.0"), (0.716, "0.72"), (0.0, "0.00")]
)
def test_figures_have_three_digits_that_count(value: float, text: str) -> None:
    assert readable(value) == text
