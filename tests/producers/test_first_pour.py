"""The first pour of a meter is whole, whatever the board has counted before and whenever it says so."""

import pytest

from kegnet_client.core.errors import BoardError
from kegnet_client.core.flow import FlowRules
from kegnet_client.producers.total_meters import TotalMeters

from .board_stand import IDLE_S, RUNNING_S, Said, Stand, hello, total


@pytest.mark.parametrize(
    ("script", "pulses"),
    [
        ([hello(30.0), total(200), 1.0, total(300)], 300),
        ([total(200), 0.1, hello(30.0), 1.0, total(300)], 300),
        ([total(200), 0.1, total(230), 0.1, hello(None, 8), 1.0, total(300)], 300),
        ([total(5000), 1.8, hello(0.1), 60.0, total(200), 1.0, total(300)], 300),
        ([hello(30.0), 30_000.0, hello(30_030.0), total(30), 1.0, total(300)], 300),
        ([total(1000), 0.1, total(1030), 0.1, hello(RUNNING_S), 1.0, total(1300)], 300),
        ([total(10_500), 0.1, hello(None, 8), 1.0, total(10_800)], 300),
        ([total(1000), 5.0, total(1300)], 300),
    ],
    ids=[
        "a board that has just begun",
        "its hello comes after a first total",
        "an old one, which does not say when it began",
        "one that the opening resets, after a total of its life before",
        "one that has begun before us, and whose meter turns for the first time long after",
        "one that has run for hours",
        "an old one that has counted much",
        "one that never says hello",
    ],
)
def test_the_first_pour_of_a_meter_is_whole_and_what_a_board_counted_long_ago_is_none(
    stand: Stand, script: list[Said], pulses: int
) -> None:
    stand.hear(*script, IDLE_S)
    assert stand.pours() == [(0, pulses)]


def test_a_stop_before_the_board_s_hello_loses_nothing(stand: Stand) -> None:
    stand.hear(total(200))
    stand.hear(hello(40.0), total(250), IDLE_S)
    assert stand.pours() == [(0, 250)]


def test_a_board_that_is_lost_before_its_hello_has_told_what_it_counted(stand: Stand) -> None:
    stand.hear(hello(RUNNING_S), total(1000), 1.0, total(1100), IDLE_S)
    stand.hear(total(1300), BoardError("gone"), 1.0)
    assert stand.pours() == [(0, 100), (0, 200)]


def test_a_board_that_began_while_no_producer_ran_counts_from_zero_also_above_what_it_had(stand: Stand) -> None:
    stand.hear(hello(RUNNING_S), total(1000), 1.0, total(1100), IDLE_S)
    stand.clock.now_s += 3600.0
    stand.hear(total(1490), 0.1, hello(3000.0), total(1500), 0.5, total(1600), IDLE_S)
    assert sorted(stand.pours()) == [(0, 100), (0, 1600)]


@pytest.mark.case(161)
@pytest.mark.parametrize("fault", [0.995, 1.005], ids=["slow", "fast"])
def test_a_board_whose_clock_is_off_has_not_begun_anew_for_it(stand: Stand, fault: float) -> None:
    stand.hear(hello(60.0), total(100), 1.0, total(300), IDLE_S)
    stand.clock.now_s += 80_000.0
    stand.hear(hello(80_000.0 * fault), total(300), 1.0, total(400), IDLE_S)
    assert sorted(stand.pours()) == [(0, 100), (0, 300)]


@pytest.mark.case(161)
def test_nor_when_its_line_was_lost_for_a_day(stand: Stand) -> None:
    lost = BoardError("gone"), 79_940.0
    stand.hear(hello(60.0), total(100), 1.0, total(300), *lost, hello(80_000.0 * 0.995), total(400), IDLE_S)
    assert sorted(stand.pours()) == [(0, 100), (0, 300)]


def test_a_hello_that_is_lost_doubles_nothing_when_the_next_one_tells_of_the_restart(stand: Stand) -> None:
    stand.hear(hello(RUNNING_S), total(1000), 1.0, total(1100), 1.0, total(50), 1.0, total(100), 6.0, hello(8.0), 1.0)
    assert stand.pours() == [(0, 200)]
    stand.hear(hello(9.0), total(150), IDLE_S)
    assert sum(pulses for _, pulses in stand.pours()) == 250


def test_nor_does_one_that_is_away_when_a_new_board_begins(stand: Stand) -> None:
    spool = stand.spool.rename(stand.spool.with_name("away"))
    meters = TotalMeters(stand.spool, "kegboard", "bar", FlowRules(), stand.clock)
    meters.restarted(100)
    meters.take(0, 100)
    spool.rename(stand.spool)
    stand.clock.now_s += 1
    meters.take(0, 300)
    meters.close()
    assert stand.pours() == [(0, 300)]
