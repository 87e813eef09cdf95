"""From pulses to pours: real streams, chatter, totals and dates."""

from collections.abc import Iterable

import pytest

from kegnet_client.core.errors import RecordError
from kegnet_client.core.flow import (
    MODULUS,
    EdgeCounter,
    Flow,
    FlowRules,
    Meter,
    PourDates,
    TotalCounter,
    recover,
)
from kegnet_client.core.records import Pour

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NOON_MS = 1_767_268_800_000
"""2026-01-01T12:00:00Z."""


def stream(*stretches: tuple[float, float]) -> list[int]:
    """The times of pulses: stretches of so many seconds at so many pulses a second."""
    times, begin_ms = [], 0.0
    for seconds, hertz in stretches:
        times += [round(begin_ms + 1000 * number / hertz) for number in range(round(seconds * hertz))]
        begin_ms += 1000 * seconds
    return times


def flows(times_ms: Iterable[int], rules: FlowRules | None = None) -> list[Flow]:
    """The flows of pulses one by one, with a look at each moment that the meter asks for."""
    meter = Meter(rules or FlowRules())
    done: list[Flow] = []
    for at_ms in times_ms:
        while (due_ms := meter.due_ms) is not None and due_ms <= at_ms:
            done += meter.look(due_ms)
        done += meter.add(1, at_ms, at_ms)
    while (due_ms := meter.due_ms) is not None:
        done += meter.look(due_ms)
    return done


def shape(done: list[Flow]) -> list[tuple[int, int]]:
    """The pulses and the milliseconds of each flow."""
    return [(flow.pulses, flow.last_ms - flow.first_ms) for flow in done]


def test_a_pint_is_one_pour() -> None:
    assert flows(stream((10, 270))) == [Flow(2700, 0, 9996)]


def test_a_pint_with_a_pause_of_two_seconds_is_one_pour() -> None:
    assert shape(flows(stream((6, 270), (2, 0.1), (4, 270)))) == [(2700, 11_996)]


def test_a_next_glass_after_six_seconds_is_another_pour() -> None:
    assert shape(flows(stream((6, 270), (6, 0.01), (4, 270)))) == [(1620, 5996), (1080, 3996)]


def test_foam_stays_in_its_pour() -> None:
    foam = [(0.4, 30.0), (0.7, 640.0), (1.5, 0.5), (0.3, 10.0), (1.2, 5.0)]
    assert shape(flows(stream((8, 270), *foam))) == [(2160 + 12 + 448 + 1 + 3 + 6, 11_900)]


def test_an_emptying_keg_is_one_pour_to_its_last_gurgle() -> None:
    blown = [(3.0, 640.0), (1.0, 120.0), (2.0, 8.0), (2.4, 2.5)]
    assert shape(flows(stream((5, 270), *blown))) == [(1350 + 1920 + 120 + 16 + 6, 13_000)]


@pytest.mark.case(113)
def test_a_leak_for_a_day_is_a_record_an_hour_or_one_a_minimum() -> None:
    seldom = flows(range(0, DAY_MS, 2 * MINUTE_MS))
    often = flows(range(0, DAY_MS, 10_000))

    assert shape(seldom) == [(30, 58 * MINUTE_MS)] * 24
    assert shape(often) == [(54, 53 * 10_000)] * 160
    assert sum(flow.pulses for flow in often) == 8640


@pytest.mark.case(113)
def test_a_pour_of_many_minutes_goes_on_in_the_next_record() -> None:
    done = flows(stream((11 * 60, 10)))

    assert shape(done) == [(3000, 299_900), (3000, 299_900), (600, 59_900)]


def test_what_flows_below_the_minimum_is_drips_and_waits_for_its_hour() -> None:
    assert flows([0, 100, 20 * MINUTE_MS]) == [Flow(3, 0, 20 * MINUTE_MS)]


def test_drips_are_recorded_before_a_pour_and_apart_from_it() -> None:
    glass = [MINUTE_MS + at_ms for at_ms in stream((1, 270))]

    assert flows([0, 10, 20, *glass]) == [Flow(3, 0, 20), Flow(270, MINUTE_MS, MINUTE_MS + 996)]


def test_a_meter_asks_for_no_look_when_nothing_is_open() -> None:
    meter = Meter(FlowRules())
    assert meter.due_ms is None
    meter.add(270, 0, 1000)
    assert meter.due_ms == 4000
    meter.look(4000)
    assert meter.due_ms is None


def test_a_close_ends_a_pour_and_its_drips() -> None:
    meter = Meter(FlowRules())
    meter.add(3, 0, 20)
    meter.look(4000)
    meter.add(4, 9000, 9010)

    assert meter.close() == [Flow(7, 0, 9010)]
    assert meter.close() == []


def test_what_a_journal_kept_becomes_one_record() -> None:
    drips, pour = Flow(3, 0, 20), Flow(5, 100, 200)

    assert recover(None, None) == []
    assert recover(pour, None) == [pour]
    assert recover(None, drips) == [drips]
    assert recover(pour, drips) == [Flow(8, 0, 200)]


def test_a_pulse_that_seems_older_than_the_one_before_is_of_its_time() -> None:
    meter = Meter(FlowRules(minimum=1))
    meter.add(1, 1000, 1000)
    meter.add(1, 999, 999)

    assert meter.close() == [Flow(2, 1000, 1000)]


def test_chatter_is_no_pour_and_one_that_is_under_way_goes_on_without_it() -> None:
    meter = Meter(FlowRules())
    meter.add(27, 0, 100)
    meter.add(600, 150, 250)
    assert meter.problem is not None
    assert "faster than 2000 a second" in meter.problem
    meter.add(27, 300, 400)

    assert meter.look(4000) == [Flow(54, 0, 400)]
    assert meter.ignored == 600
    assert meter.problem is not None, "it had chatter in it"
    meter.add(54, 5000, 5200)
    meter.look(9000)
    assert meter.problem is None


def test_a_bounce_of_one_contact_is_no_chatter() -> None:
    meter = Meter(FlowRules())
    meter.add(3, 0, 0)
    meter.add(1000, 1, 501)

    assert meter.ignored == 0


def test_edges_are_counted_by_their_numbers_when_the_buffer_overflowed() -> None:
    counter = EdgeCounter(meter := Meter(FlowRules()), 0)
    counter.take([(1000, 1), (1004, 2)], 1010)
    counter.take([(2000, 801), (2001, 802)], 2010)

    assert meter.close() == [Flow(802, 1000, 2001)]


def test_an_overflow_begins_at_the_last_look() -> None:
    counter = EdgeCounter(meter := Meter(FlowRules()), 0)
    counter.take([], 1000)
    counter.take([(2000, 801), (2001, 802)], 2010)

    assert meter.close() == [Flow(802, 1000, 2001)]


def test_edge_numbers_begin_anew_after_four_billion() -> None:
    counter = EdgeCounter(meter := Meter(FlowRules(max_hz=2**50)), 0)
    counter.take([(0, MODULUS - 1)], 0)
    counter.take([(10, 2)], 20)

    assert meter.close() == [Flow(MODULUS + 2, 0, 10)]


def test_edges_that_were_read_late_are_the_pours_that_they_were() -> None:
    counter = EdgeCounter(Meter(FlowRules(minimum=2)), 0)
    edges = [(0, 1), (10, 2), (6000, 3), (6010, 4), (20_000, 5)]

    assert counter.take(edges, 30_000) == [Flow(2, 0, 10), Flow(2, 6000, 6010)]


def totals(*told: tuple[int, int], kept: int | None = None) -> tuple[list[Flow], TotalCounter]:
    """The flows of totals, each with its time."""
    meter = Meter(FlowRules(idle_ms=10_000))
    counter = TotalCounter(meter, kept)
    done: list[Flow] = []
    for at_ms, total in told:
        done += counter.take(total, at_ms)
    return done + meter.close(), counter


def test_the_first_total_is_a_baseline() -> None:
    assert totals((0, 5000))[0] == []
    assert totals((0, 5000), (1000, 5270), (2000, 5540))[0] == [Flow(540, 0, 2000)]


@pytest.mark.parametrize(("total", "pulses"), [(0, 0), (1, 1), (300, 300), (10_000, 10_000), (10_001, 0), (2**31, 0)])
def test_after_a_hello_a_small_first_total_counts_from_zero_and_a_year_s_does_not(total: int, pulses: int) -> None:
    counter = TotalCounter(meter := Meter(FlowRules(minimum=1)))
    counter.board_said_hello()
    assert counter.take(total, 1000) == []
    assert sum(flow.pulses for flow in meter.close()) == pulses


def test_a_total_that_was_kept_is_not_one_that_was_heard_since_the_start() -> None:
    counter = TotalCounter(Meter(FlowRules()), 5000)
    assert not counter.has_heard
    counter.take(5000, 0)
    assert counter.has_heard


def test_a_total_that_comes_when_a_pour_runs_already_is_in_that_pour() -> None:
    counter = TotalCounter(meter := Meter(FlowRules()))
    counter.board_began(0)
    assert counter.take(200, 60_000) + counter.take(300, 61_000) + meter.close() == [Flow(300, 60_000, 61_000)]


def test_what_fell_is_not_counted_again_when_the_board_says_at_last_that_it_began_anew() -> None:
    counter = TotalCounter(meter := Meter(FlowRules()))
    done = counter.take(1000, 0) + counter.take(1100, 1000) + counter.take(50, 2000) + counter.take(100, 2500)
    done += counter.board_began(1500) + counter.take(150, 3000)
    assert done + meter.close() == [Flow(250, 0, 3000)]


def test_a_pour_after_long_silence_begins_at_the_total_that_shows_it() -> None:
    assert totals((0, 5000), (MINUTE_MS, 5270), (MINUTE_MS + 1000, 5540))[0] == [Flow(540, MINUTE_MS, MINUTE_MS + 1000)]


def test_what_flowed_while_no_producer_ran_is_a_pour_of_its_own() -> None:
    done, counter = totals((0, 5270), (1000, 5540), kept=5000)

    assert done == [Flow(270, 0, 0), Flow(270, 0, 1000)]
    assert counter.last == 5540


def test_a_few_pulses_while_no_producer_ran_are_drips() -> None:
    assert totals((0, 5003), (1000, 5004), kept=5000)[0] == [Flow(4, 0, 1000)]


def test_a_total_that_stands_where_it_stood_is_no_pour() -> None:
    assert totals((0, 5000), (1000, 5270), (2000, 5270), kept=5000)[0] == [Flow(270, 0, 1000)]


def test_a_total_of_another_meter_is_not_what_flowed_meanwhile() -> None:
    done, counter = totals((0, 400_000_000), kept=5000)

    assert done == []
    assert "from 5000 to 400000000" in str(counter.problem)


def test_a_small_total_after_a_larger_one_counts_from_zero() -> None:
    assert totals((0, 50_000), (1000, 200))[0] == [Flow(200, 0, 1000)]
    assert totals((0, 200), kept=50_000)[0] == [Flow(200, 0, 0)]


def test_a_hello_lets_a_lower_total_count_from_zero_and_a_higher_one_as_ever() -> None:
    counter = TotalCounter(meter := Meter(FlowRules()))
    counter.take(50_000, 0)
    counter.board_said_hello()
    counter.take(50_100, 1000)
    counter.board_said_hello()
    counter.take(20_000, 2000 + MINUTE_MS)

    assert meter.close() == [Flow(20_000, 62_000, 62_000)]


@pytest.mark.parametrize("pulses", [1, 300])
def test_a_total_that_passes_four_billion_goes_on(pulses: int) -> None:
    assert totals((0, MODULUS - 1), (1000, pulses - 1))[0] == [Flow(pulses, 0, 1000)]


def test_a_total_that_goes_back_is_no_pour_and_the_next_ones_count_from_there() -> None:
    done, counter = totals((0, 50_000), (1000, 49_000))
    assert done == []
    assert "from 50000 to 49000" in str(counter.problem)

    done, counter = totals((0, 50_000), (1000, 49_000), (2000, 49_100))
    assert done == [Flow(100, 1000, 2000)]
    assert counter.problem is None


def test_a_total_that_leaps_is_faster_than_any_meter() -> None:
    counter = TotalCounter(meter := Meter(FlowRules()))
    counter.take(100, 0)
    counter.take(1_000_000, 1000)

    assert meter.close() == []
    assert meter.problem is not None


def test_totals_that_are_taken_late_and_at_once_are_a_pour() -> None:
    told = [(0, 0), (5000, 300), (5000, 600), (5001, 900), (5001, 1200), (5001, 1500)]

    assert totals(*told)[0] == [Flow(1500, 0, 5001)]


def test_a_leap_after_many_quiet_totals_is_no_pour() -> None:
    quiet = [(at_ms, 100) for at_ms in range(0, HOUR_MS, 60_000)]

    assert totals(*quiet, (HOUR_MS - 59_000, 50_000))[0] == []


def test_a_clock_that_is_set_during_a_pour_does_not_change_its_length() -> None:
    pour = PourDates().pour(3, Flow(54, 1000, 9000), now_ms=12_000, wall_ms=NOON_MS)

    assert pour == Pour(3, 54, 8000, NOON_MS - 11_000)


@pytest.mark.parametrize("back_ms", [0, 1, 10_000, HOUR_MS - 10_000])
def test_a_clock_that_was_set_back_a_little_gives_no_two_pours_at_one_time(back_ms: int) -> None:
    dates = PourDates()
    before = dates.pour(3, Flow(54, 0, 8000), 8000, NOON_MS)
    after = dates.pour(3, Flow(54, 8000, 9000), 9000, NOON_MS + 1000 - back_ms)

    assert after.started_ms == before.started_ms + before.elapsed_ms + 1
    assert after.elapsed_ms == 1000


def test_a_clock_that_was_far_ahead_is_not_followed() -> None:
    dates = PourDates()
    dates.pour(3, Flow(54, 0, 8000), 8000, NOON_MS + DAY_MS)

    assert dates.pour(3, Flow(54, 20_000, 20_000), 20_000, NOON_MS).started_ms == NOON_MS


def test_a_clock_that_was_never_set_dates_nothing() -> None:
    with pytest.raises(RecordError, match="before 2001"):
        PourDates().pour(3, Flow(54, 0, 8000), 8000, 100_000)
