"""Whose turn it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.delivery_queue import DeliveryQueue, QueueEntry


@pytest.fixture
def queue() -> DeliveryQueue:
    return DeliveryQueue(limit=3)


def names(queue: DeliveryQueue, now_s: float = 0.0) -> list[str]:
    taken = []
    while (entry := queue.take(now_s)) is not None:
        taken.append(entry.name)
    return taken


def test_a_fresh_record_is_not_held_up_behind_an_old_backlog(queue: DeliveryQueue) -> None:
    queue.refill(["old1", "old2"])
    assert queue.announce("new")

    assert queue.take(0.0) == QueueEntry("new", announced=True)
    assert queue.take(0.0) == QueueEntry("old1", announced=False)
    queue.announce("newer")
    assert names(queue) == ["newer", "old2"]


def test_announcements_beyond_the_limit_are_left_to_the_scan(queue: DeliveryQueue) -> None:
    assert [queue.announce(name) for name in "abcd"] == [True, True, True, False]
    assert names(queue) == ["a", "b", "c"]


def test_a_turn_put_back_is_the_next_one_of_its_lane(queue: DeliveryQueue) -> None:
    queue.refill(["old1", "old2"])
    old = queue.take(0.0)
    assert old is not None
    queue.announce("new1")
    queue.announce("new2")
    new = queue.take(0.0)
    assert new is not None
    queue.put_back([new, old])

    assert names(queue) == ["new1", "new2", "old1", "old2"]


def test_turns_put_back_keep_their_order(queue: DeliveryQueue) -> None:
    queue.refill(["a", "b", "c"])
    entries = [entry for _ in range(2) if (entry := queue.take(0.0))]
    queue.put_back(entries)

    assert names(queue) == ["a", "b", "c"]


def test_everybody_who_waits_is_counted(queue: DeliveryQueue) -> None:
    queue.announce("new")
    queue.refill(["old1", "old2"])
    queue.hold(QueueEntry("held", announced=False), 1.0)

    assert (len(queue), queue.has_backlog) == (4, True)


def test_who_queues_last_lets_everybody_else_go_first(queue: DeliveryQueue) -> None:
    queue.announce("a")
    queue.refill(["b", "c"])
    entry = queue.take(0.0)
    assert entry is not None
    queue.queue_last(entry)

    assert names(queue) == ["b", "c", "a"]


def test_who_is_held_has_no_turn_before_its_time_and_goes_before_the_backlog_then(queue: DeliveryQueue) -> None:
    queue.hold(QueueEntry("b", announced=False), 20.0)
    queue.hold(QueueEntry("a", announced=True), 10.0)
    queue.refill(["old"])
    assert queue.held() == {"a", "b"}
    assert queue.due_s() == 0.0

    assert names(queue, 9.9) == ["old"]
    assert queue.due_s() == 10.0
    queue.announce("new")
    queue.refill(["old"])
    assert names(queue, 20.0) == ["new", "a", "b", "old"]
    assert queue.due_s() is None


def test_who_came_back_while_a_scan_went_on_waits_before_what_it_found(queue: DeliveryQueue) -> None:
    queue.refill(["a", "b"])
    taken = queue.take(0.0)
    assert taken is not None
    queue.put_back([taken])
    queue.refill(["c"])

    assert names(queue) == ["a", "b", "c"]


def test_another_spool_starts_with_nobody_waiting(queue: DeliveryQueue) -> None:
    queue.announce("a")
    queue.refill(["b"])
    queue.hold(QueueEntry("c", announced=False), 10.0)
    queue.clear()

    assert queue.due_s() is None
    assert names(queue, 1e9) == []


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(0, 100))), st.lists(st.text(max_size=3)), st.floats(0, 100))
def test_nobody_is_lost_and_nobody_goes_before_its_time(
    held: list[tuple[str, float]], backlog: list[str], now_s: float
) -> None:
    queue = DeliveryQueue(limit=3)
    queue.refill(backlog)
    for name, until_s in held:
        queue.hold(QueueEntry(name, announced=False), until_s)

    assert sorted(names(queue, now_s)) == sorted(backlog + [name for name, until_s in held if until_s <= now_s])
    assert queue.held() == {name for name, until_s in held if until_s > now_s}
    assert sorted(names(queue, 100.0)) == sorted(name for name, until_s in held if until_s > now_s)


def test_after_lost_events_nobody_counts_as_finished() -> None:
    queue = DeliveryQueue(9)
    queue.announce("fresh")
    queue.hold(QueueEntry("held", announced=True), 1.0)
    queue.doubt()
    assert queue.take(2.0) == QueueEntry("fresh", announced=False)
    assert queue.take(2.0) == QueueEntry("held", announced=False)
