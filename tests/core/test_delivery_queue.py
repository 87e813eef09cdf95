"""Whose turn it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.delivery_queue import Lanes, Turn


@pytest.fixture
def lanes() -> Lanes:
    return Lanes(limit=3)


def names(lanes: Lanes, now_s: float = 0.0) -> list[str]:
    taken = []
    while (turn := lanes.take(now_s)) is not None:
        taken.append(turn.name)
    return taken


def test_a_fresh_record_is_not_held_up_behind_an_old_backlog(lanes: Lanes) -> None:
    lanes.refill(["old1", "old2"])
    assert lanes.announce("new")

    assert lanes.take(0.0) == Turn("new", announced=True)
    assert lanes.take(0.0) == Turn("old1", announced=False)
    lanes.announce("newer")
    assert names(lanes) == ["newer", "old2"]


def test_announcements_beyond_the_limit_are_left_to_the_scan(lanes: Lanes) -> None:
    assert [lanes.announce(name) for name in "abcd"] == [True, True, True, False]
    assert names(lanes) == ["a", "b", "c"]


def test_a_turn_put_back_is_the_next_one_of_its_lane(lanes: Lanes) -> None:
    lanes.refill(["old1", "old2"])
    old = lanes.take(0.0)
    assert old is not None
    lanes.announce("new1")
    lanes.announce("new2")
    new = lanes.take(0.0)
    assert new is not None
    lanes.put_back([new, old])

    assert names(lanes) == ["new1", "new2", "old1", "old2"]


def test_turns_put_back_keep_their_order(lanes: Lanes) -> None:
    lanes.refill(["a", "b", "c"])
    turns = [turn for _ in range(2) if (turn := lanes.take(0.0))]
    lanes.put_back(turns)

    assert names(lanes) == ["a", "b", "c"]


def test_everybody_who_waits_is_counted(lanes: Lanes) -> None:
    lanes.announce("new")
    lanes.refill(["old1", "old2"])
    lanes.hold(Turn("held", announced=False), 1.0)

    assert (len(lanes), lanes.has_backlog) == (4, True)


def test_who_queues_last_lets_everybody_else_go_first(lanes: Lanes) -> None:
    lanes.announce("a")
    lanes.refill(["b", "c"])
    turn = lanes.take(0.0)
    assert turn is not None
    lanes.queue_last(turn)

    assert names(lanes) == ["b", "c", "a"]


def test_who_is_held_has_no_turn_before_its_time_and_goes_before_the_backlog_then(lanes: Lanes) -> None:
    lanes.hold(Turn("b", announced=False), 20.0)
    lanes.hold(Turn("a", announced=True), 10.0)
    lanes.refill(["old"])
    assert lanes.held() == {"a", "b"}
    assert lanes.due_s() == 0.0

    assert names(lanes, 9.9) == ["old"]
    assert lanes.due_s() == 10.0
    lanes.announce("new")
    lanes.refill(["old"])
    assert names(lanes, 20.0) == ["new", "a", "b", "old"]
    assert lanes.due_s() is None


def test_who_came_back_while_a_scan_went_on_waits_before_what_it_found(lanes: Lanes) -> None:
    lanes.refill(["a", "b"])
    taken = lanes.take(0.0)
    assert taken is not None
    lanes.put_back([taken])
    lanes.refill(["c"])

    assert names(lanes) == ["a", "b", "c"]


def test_another_spool_starts_with_nobody_waiting(lanes: Lanes) -> None:
    lanes.announce("a")
    lanes.refill(["b"])
    lanes.hold(Turn("c", announced=False), 10.0)
    lanes.clear()

    assert lanes.due_s() is None
    assert names(lanes, 1e9) == []


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(0, 100))), st.lists(st.text(max_size=3)), st.floats(0, 100))
def test_nobody_is_lost_and_nobody_goes_before_its_time(
    held: list[tuple[str, float]], backlog: list[str], now_s: float
) -> None:
    lanes = Lanes(limit=3)
    lanes.refill(backlog)
    for name, until_s in held:
        lanes.hold(Turn(name, announced=False), until_s)

    assert sorted(names(lanes, now_s)) == sorted(backlog + [name for name, until_s in held if until_s <= now_s])
    assert lanes.held() == {name for name, until_s in held if until_s > now_s}
    assert sorted(names(lanes, 100.0)) == sorted(name for name, until_s in held if until_s > now_s)


def test_after_lost_events_nobody_counts_as_finished() -> None:
    lanes = Lanes(9)
    lanes.announce("fresh")
    lanes.hold(Turn("held", announced=True), 1.0)
    lanes.doubt()
    assert lanes.take(2.0) == Turn("fresh", announced=False)
    assert lanes.take(2.0) == Turn("held", announced=False)
