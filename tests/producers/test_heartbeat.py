"""The server hears of the device once an interval: by a temperature, or by a heartbeat where there is none."""

import queue

import pytest

from kegnet_client.core.records import Heartbeat
from kegnet_client.producers.base import Stop
from kegnet_client.producers.heartbeat import CLOCK_CHECK_S, PATIENCE_S, SignOfLife

from ..support.clock import NOW_MS, FakeClock
from .stand_ins import Start

INTERVAL_S = 600.0


class Rig:
    """A heartbeat by a clock that stands still unless it is set forth."""

    def __init__(self, clock: FakeClock, interval_s: float = INTERVAL_S) -> None:
        self.clock = clock
        self.sent: list[float] = []
        self.start_s = clock.now_s
        self.sign_of_life = SignOfLife(interval_s, self._send, clock)

    def _send(self, heartbeat: Heartbeat) -> None:
        assert heartbeat == Heartbeat(self.clock.now_ms)
        self.sent.append(self.clock.now_s - self.start_s)

    def go_on(self, until_s: float, readings: tuple[float, ...] = ()) -> None:
        """Look whenever it is time until ``until_s`` after the start; ``readings`` are taken at those times."""
        left = list(readings)
        while True:
            due_s = self.clock.now_s + self.sign_of_life.look() - self.start_s
            if left and left[0] <= min(due_s, until_s):
                self.clock.now_s = self.start_s + left.pop(0)
                self.sign_of_life.taken()
            elif due_s <= until_s:
                self.clock.now_s = self.start_s + due_s
            else:
                self.clock.now_s = self.start_s + until_s
                return


@pytest.fixture
def rig(clock: FakeClock) -> Rig:
    return Rig(clock)


def test_without_readings_one_goes_out_soon_and_then_each_interval(rig: Rig) -> None:
    rig.go_on(2000)
    assert rig.sent == [PATIENCE_S, PATIENCE_S + 600, PATIENCE_S + 1200, PATIENCE_S + 1800]


def test_while_readings_are_taken_none_goes_out_though_each_takes_another_time(rig: Rig) -> None:
    rig.go_on(3000, (1.0, 609.0, 1200.5, 1809.5, 2400.0))
    assert rig.sent == []


def test_when_readings_end_it_takes_their_place_and_when_they_come_again_it_ends(rig: Rig) -> None:
    rig.go_on(3000, (1.0, 1801.0, 2401.0, 3000.0))
    assert rig.sent == [611.0, 1211.0]


def test_at_a_short_interval_it_has_the_patience_of_one(clock: FakeClock) -> None:
    rig = Rig(clock, interval_s=2.0)
    rig.go_on(9, (1.0,))
    assert rig.sent == [5.0, 7.0, 9.0]


def test_none_gets_a_false_time_and_it_follows_when_the_clock_is_set(rig: Rig) -> None:
    rig.clock.now_ms = 5_000
    rig.go_on(PATIENCE_S + 2.5 * CLOCK_CHECK_S)
    assert rig.sent == []
    rig.clock.now_ms = NOW_MS
    rig.go_on(INTERVAL_S)
    assert rig.sent == [PATIENCE_S + 3 * CLOCK_CHECK_S]


def test_it_runs_by_itself_and_ends_when_it_is_told(clock: FakeClock, start: Start) -> None:
    sent: queue.SimpleQueue[Heartbeat] = queue.SimpleQueue()
    sign_of_life = SignOfLife(0.0, sent.put, clock)
    thread = start(sign_of_life)
    assert [sent.get(timeout=10) for _ in range(3)] == [Heartbeat(NOW_MS)] * 3
    thread.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert (sign_of_life.status(), sign_of_life.problem) == ({}, None)


def test_a_stop_wakes_what_waits_for_something_else_also_if_it_comes_first() -> None:
    woken: list[str] = []
    stop = Stop()
    stop.on_set(lambda: woken.append("before"))
    assert woken == []
    stop.set()
    stop.on_set(lambda: woken.append("after"))
    assert woken == ["before", "after"]
