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


def points_of(days: list[float]) -> list[profiles.Point]:
    return [(day, float(number)) for number, day in enumerate(days)]


@pytest.mark.parametrize("days", [[1, 0], [0, 1, 1, 1], [0, 5, 3, 8], [0, math.nan]])
def test_points_that_do_not_rise_are_named(days: list[float]) -> None:
    with pytest.raises(ValueError, match=r"temperatures: point \d"):
        profiles.check(points_of(days))


def test_a_point_that_is_there_twice_is_named() -> None:
    with pytest.raises(ValueError, match="point 3 is the one before it again, of day 7"):
        profiles.check([(0, 69), (7, 65), (7, 65)])


def test_two_points_of_one_day_are_a_step() -> None:
    points = [(0.0, 69.0), (7.0, 65.0), (7.0, 66.0), (12.0, 66.0), (12.0, 65.0), (14.0, 69.0), (21.0, 70.0)]
    profiles.check(points)
    assert profiles.set_point(points, 7 - 1e-9) == pytest.approx(65)
    assert profiles.set_point(points, 7) == 66
    assert profiles.set_point(points, 12) == 65
    assert profiles.set_point([(0, 1), (0, 2)], 0) == 2
    assert profiles.set_point([(0, 1), (0, 2)], -1) == 1


RISING = st.lists(
    st.tuples(st.floats(0, 3650, allow_nan=False).map(lambda x: round(x, 3)), st.floats(-50, 150)),
    min_size=1,
    unique_by=lambda point: point[0],
).map(sorted)


@given(RISING, st.floats(-10, 4000))
def test_it_is_between_the_lowest_and_the_highest_and_meets_every_point(
    points: list[tuple[float, float]], days: float
) -> None:
    profiles.check(points)
    found = profiles.set_point(points, days)
    temperatures = [temperature for _, temperature in points]
    assert found is not None
    assert min(temperatures) - 1e-6 <= found <= max(temperatures) + 1e-6
    for day, temperature in points:
        met = profiles.set_point(points, day)
        assert met is not None
        assert math.isclose(met, temperature, abs_tol=1e-9)


@given(RISING, st.floats(-10, 4000), st.floats(0, 1e-6))
def test_it_does_not_jump_where_there_is_no_step(points: list[tuple[float, float]], days: float, more: float) -> None:
    before, after = profiles.set_point(points, days), profiles.set_point(points, days + more)
    assert before is not None
    assert after is not None
    assert abs(after - before) <= 200 / 0.001 * 1.1e-6  # 200 degrees at most, in a thousandth of a day at least


NOW_MS = 1_800_000_000_000
DAY_MS = profiles.DAY_MS


def time_of(run: profiles.Run, days: float) -> int:
    return run.started_ms + round(days * profiles.DAY_MS)


PILS = profiles.Run(NOW_MS, [profiles.Version(NOW_MS - 5, [(0, 10), (21, 31)])])


@pytest.mark.parametrize(
    ("days", "is_over", "wanted"),
    [(-1.5, False, None), (0, False, 10_000), (5.2, False, 15_200), (21, False, 31_000), (22, True, 31_000)],
)
def test_a_run_tells_how_far_it_is_and_what_is_wanted(days: float, is_over: bool, wanted: int | None) -> None:
    at_ms = time_of(PILS, days)
    assert (PILS.progress(at_ms), PILS.set_point(at_ms)) == (profiles.Progress(days, 21), wanted)
    assert (PILS.progress(at_ms).is_over, PILS.progress(at_ms).parts) == (is_over, 1)


def test_a_mash_is_told_in_hours() -> None:
    mash = profiles.Run(NOW_MS, [profiles.Version(0, [(0, 149), (1.5 / 24, 168)], "F")])
    assert mash.progress(NOW_MS + 2_700_000) == profiles.Progress(0.75 / 24, 1.5 / 24)
    assert mash.progress(NOW_MS).parts == 24
    assert mash.set_point(NOW_MS) == 65_000
    assert mash.set_point(NOW_MS + DAY_MS) == 75_556


def test_a_profile_that_is_changed_while_it_runs_stays_what_it_was_before() -> None:
    first = profiles.Version(NOW_MS + DAY_MS, [(0, 10)])
    second = profiles.Version(NOW_MS + 3 * DAY_MS, [(0, 50)], "F")
    run = profiles.Run(NOW_MS, [first, second])
    assert [run.set_point(time_of(run, days)) for days in (0, 2, 3, 9)] == [10_000, 10_000, 10_000, 10_000]
    assert [run.version_at(time_of(run, days)) for days in (0, 2, 3, 9)] == [first, first, second, second]


def test_a_run_of_which_nothing_is_said_wants_nothing() -> None:
    assert profiles.Run(NOW_MS, []).set_point(NOW_MS) is None
    assert profiles.Run(NOW_MS, []).progress(NOW_MS + 5).is_over
    assert profiles.Run(NOW_MS, []).line(NOW_MS + 5) == [(NOW_MS, None)]
    assert profiles.Run(NOW_MS, [profiles.Version(0, [])]).set_point(NOW_MS) is None


def test_the_line_of_a_run_goes_straight_from_point_to_point() -> None:
    assert PILS.line(time_of(PILS, 30)) == [
        (NOW_MS, 10_000),
        (time_of(PILS, 21), 31_000),
        (time_of(PILS, 30), 31_000),
    ]
    assert PILS.line(NOW_MS - 1) == []


def test_the_line_of_a_run_that_was_changed_keeps_what_was_wanted_before() -> None:
    changed_ms = NOW_MS + 2 * DAY_MS
    first = profiles.Version(0, [(0, 10), (7, 10), (7, 20)])
    second = profiles.Version(changed_ms, [(0, 12), (4, 12), (4, 0)])
    assert profiles.Run(NOW_MS, [first, second]).line(NOW_MS + 5 * DAY_MS) == [
        (NOW_MS, 10_000),
        (changed_ms, 10_000),
        (changed_ms, 12_000),
        (NOW_MS + 4 * DAY_MS, 12_000),
        (NOW_MS + 4 * DAY_MS, 0),
        (NOW_MS + 5 * DAY_MS, 0),
    ]
    emptied = profiles.Version(changed_ms, [])
    assert profiles.Run(NOW_MS, [first, emptied]).line(NOW_MS + 5 * DAY_MS)[-1] == (changed_ms, None)


@given(RISING, st.floats(0.01, 100))
def test_the_line_of_a_run_is_what_is_wanted_at_each_time(points: list[tuple[float, float]], days: float) -> None:
    run = profiles.Run(NOW_MS, [profiles.Version(0, points)])
    line = run.line(time_of(run, days))
    assert [at_ms for at_ms, _ in line] == sorted(at_ms for at_ms, _ in line)
    last = dict(line)
    steps = {round(day * DAY_MS) for day, _ in points}
    assert all(run.set_point(at_ms) == wanted for at_ms, wanted in last.items() if at_ms - NOW_MS not in steps)
