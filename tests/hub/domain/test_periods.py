"""Meters, kegs and calibrations laid over each other part time so that each moment has one answer."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.hub.domain.periods import (
    NEVER_MS,
    Calibration,
    KegAtTap,
    MeterAtTap,
    Period,
    Periods,
    find_overlap,
    lay_out,
)

A = "11111111-2222-4333-8444-555555555555"


def test_a_keg_that_is_changed_parts_the_time_of_its_meter() -> None:
    periods = lay_out(
        [MeterAtTap(1, A, 0, 185_185, 100)],
        [KegAtTap(7, 1, 200, 300), KegAtTap(8, 1, 300)],
        [Calibration(A, 0, 99, 250)],
    )
    assert periods == [
        Period(A, 0, 100, 200, 185_185, 1, None),
        Period(A, 0, 200, 250, 185_185, 1, 7),
        Period(A, 0, 250, 300, 99, 1, 7),
        Period(A, 0, 300, NEVER_MS, 99, 1, 8),
    ]


def test_a_meter_that_moves_takes_its_calibration_along() -> None:
    periods = lay_out(
        [MeterAtTap(1, A, 0, 185_185, 0, 500), MeterAtTap(2, A, 0, 185_185, 600)],
        [KegAtTap(7, 1), KegAtTap(8, 2)],
        [Calibration(A, 0, 99, 400)],
    )
    looked_up = Periods(periods)
    for time, expected in ((399, (185_185, 1, 7)), (400, (99, 1, 7)), (550, (99, None, None)), (600, (99, 2, 8))):
        period = looked_up.at(A, 0, time)
        assert period is not None
        assert (period.nanolitres_per_pulse, period.tap, period.keg) == expected


def test_of_two_calibrations_of_one_date_the_later_one_holds() -> None:
    (period,) = lay_out([], [], [Calibration(A, 0, 1, 5), Calibration(A, 0, 2, 5)])
    assert period == Period(A, 0, 5, NEVER_MS, 2, None, None)


def test_a_meter_of_which_nothing_is_said_has_no_period() -> None:
    assert lay_out([], [KegAtTap(1, 1)], []) == []
    assert Periods([]).at(A, 0, 5) is None


TIMES = st.integers(0, 12)


@st.composite
def chains(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Intervals, none over another."""
    times = sorted(draw(st.sets(TIMES, max_size=8)))
    pairs = list(pairwise(times))
    return [pair for pair in pairs if draw(st.booleans())]


@given(data=st.data(), calibrations=st.lists(st.tuples(TIMES, st.integers(1, 9)), max_size=5))
def test_each_moment_has_what_the_entries_say_and_no_two_periods_overlap(
    data: st.DataObject, calibrations: list[tuple[int, int]]
) -> None:
    of_tap = {
        tap: [
            (keg * 10 + tap, *interval) for keg, interval in enumerate(data.draw(chains(), label=f"kegs of {tap}"), 1)
        ]
        for tap in (1, 2)
    }
    where = [(data.draw(st.sampled_from([1, 2])), *interval) for interval in data.draw(chains(), label="meter")]
    periods = lay_out(
        data.draw(st.permutations([MeterAtTap(tap, A, 3, 1000, *interval) for tap, *interval in where])),
        data.draw(st.permutations([KegAtTap(keg, tap, *rest) for tap in of_tap for keg, *rest in of_tap[tap]])),
        [Calibration(A, 3, value, time) for time, value in calibrations],
    )
    assert find_overlap(periods) is None
    assert all(one.from_ms < one.until_ms for one in periods)
    looked_up = Periods(periods)
    for time in range(14):
        found = looked_up.at(A, 3, time)
        tap = next((tap for tap, start, end in where if start <= time < end), None)
        keg = next((keg for keg, start, end in of_tap.get(tap or 0, []) if start <= time < end), None)
        said = [value for start, value in sorted(calibrations, key=lambda one: one[0]) if start <= time]
        value = said[-1] if said else None if tap is None else 1000
        got = (None, None, None) if found is None else (found.nanolitres_per_pulse, found.tap, found.keg)
        assert got == (value, tap, keg)


@given(st.lists(st.tuples(TIMES, TIMES).filter(lambda pair: pair[0] < pair[1]), max_size=6))
def test_two_that_overlap_are_found(intervals: list[tuple[int, int]]) -> None:
    made = [KegAtTap(number, 1, *interval) for number, interval in enumerate(intervals)]
    overlap = any(
        one is not other and one.from_ms < other.until_ms and other.from_ms < one.until_ms
        for one in made
        for other in made
    )
    found = find_overlap(made)
    assert (found is not None) == overlap
    if found is not None:
        assert found[0].from_ms <= found[1].from_ms < found[0].until_ms
