"""How many connections carry a backlog."""

from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.concurrency import REST_WINDOWS, WINDOW_S, AdaptiveConcurrency


class Line:
    """A server and what is between: how many records a second so many connections carry, and how busy that keeps
    this machine's processor."""

    def __init__(self, limit: int, *rates: float, busy_share: float = 0.0) -> None:
        self.concurrency = AdaptiveConcurrency(limit, lambda: self.now_s * self.busy_share)
        self.busy_share = busy_share
        self.rates = rates
        self.now_s = 0.0
        self.most = 1

    def carry(self, windows: int) -> int:
        """How many connections there are after so many windows' time."""
        until_s = self.now_s + windows * WINDOW_S
        while self.now_s < until_s:
            connections = self.concurrency.connections
            self.now_s += 1 / self.rates[min(connections, len(self.rates)) - 1]
            self.concurrency.answered(1, self.now_s)
            self.most = max(self.most, self.concurrency.connections)
        return self.concurrency.connections


def test_with_a_round_trip_between_connections_grow_to_the_limit() -> None:
    line = Line(8, *(20.0 * number for number in range(1, 9)))

    assert line.carry(20) == 8


def test_where_more_carry_no_more_they_are_taken_back() -> None:
    line = Line(8, 1300.0, 2000.0)

    assert line.carry(20) == 2
    assert line.most == 4


def test_where_one_carries_all_that_can_be_one_stays() -> None:
    assert Line(8, 1300.0).carry(20) == 1


def test_where_the_processor_is_busy_with_one_a_second_is_not_even_tried() -> None:
    line = Line(8, 1300.0, 1400.0, busy_share=0.9)
    line.carry(3 * REST_WINDOWS)

    assert line.most == 1


def test_where_the_processor_gets_less_to_do_a_second_is_tried() -> None:
    line = Line(2, 20.0, 40.0, busy_share=0.9)
    line.carry(20)
    assert line.most == 1
    line.busy_share = 0.2

    assert line.carry(20) == 2


def test_what_did_not_pay_is_tried_again_later() -> None:
    line = Line(2, 100.0)
    line.carry(6)
    line.most = 1
    line.rates = (100.0, 200.0)

    assert line.carry(REST_WINDOWS // 2) == 1
    assert line.carry(REST_WINDOWS) == 2


def test_a_server_that_slows_down_gets_one_connection() -> None:
    line = Line(2, 100.0, 200.0)
    assert line.carry(8) == 2
    line.rates = (30.0,)

    assert 1 in [line.carry(1) for _ in range(3)]


def test_after_a_failure_one_is_left() -> None:
    line = Line(8, *(20.0 * number for number in range(1, 9)))
    line.carry(20)
    line.concurrency.restart()

    assert line.concurrency.connections == 1


def test_an_interruption_is_not_taken_for_a_slow_server() -> None:
    line = Line(2, 100.0, 200.0)
    line.carry(8)
    line.now_s += 60.0
    line.concurrency.interrupted()

    assert line.carry(2) == 2


@given(st.sampled_from([1, 2, 4, 8, 16]), st.lists(st.floats(0.0001, 10.0), max_size=300))
def test_there_is_always_one_and_never_more_than_the_limit(limit: int, waits_s: list[float]) -> None:
    concurrency, now_s = AdaptiveConcurrency(limit, lambda: 0.0), 0.0
    for wait_s in waits_s:
        now_s += wait_s
        concurrency.answered(1, now_s)
        assert 1 <= concurrency.connections <= limit
