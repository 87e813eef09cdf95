"""A profile's set point: the points themselves, straight lines between, and what is before and after."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.hub.domain import profiles

LAGER = [(0.0, 10.0), (7.0, 10.0), (9.0, 16.0), (12.0, 2.0)]


@pytest.mark.parametrize(
    ("days", "expected"), [(-3, 10), (0, 10), (5.2, 10), (8, 13), (9, 16), (10.5, 9), (12, 2), (400, 2)]
)
def test_the_set_point_goes_straight_from_point_to_point(days: float, expected: float) -> None:
    assert profiles.set_point(LAGER, days) == pytest.approx(expected)


def test_a_profile_without_points_has_no_set_point() -> None:
    assert profiles.set_point([], 3) is None
    assert profiles.length_days([]) == 0
    assert profiles.length_days(LAGER) == 12


@pytest.mark.parametrize("days", [[1, 0], [0, 1, 1], [0, 5, 3, 8]])
def test_points_that_do_not_rise_are_named(days: list[float]) -> None:
    with pytest.raises(ValueError, match=r"point \d"):
        profiles.check(days)


@given(
    st.lists(
        st.tuples(st.floats(0, 3650, allow_nan=False).map(lambda x: round(x, 3)), st.floats(-50, 150)),
        min_size=1,
        unique_by=lambda point: point[0],
    ).map(sorted),
    st.floats(-10, 4000),
)
def test_it_is_between_the_lowest_and_the_highest_and_meets_every_point(
    points: list[tuple[float, float]], days: float
) -> None:
    profiles.check([day for day, _ in points])
    found = profiles.set_point(points, days)
    temperatures = [temperature for _, temperature in points]
    assert found is not None
    assert min(temperatures) - 1e-6 <= found <= max(temperatures) + 1e-6
    for day, temperature in points:
        met = profiles.set_point(points, day)
        assert met is not None
        assert math.isclose(met, temperature, abs_tol=1e-9)
