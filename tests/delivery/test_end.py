"""A stop is quick and breaks off nothing; a drain tries everything once and then ends."""

import os
import threading
import time

import pytest

from kegnet_client.core.records import Heartbeat, parse
from kegnet_client.core.retry_policy import LinkState
from kegnet_client.core.verdict import Verdict
from kegnet_client.spool.scan import Scanner

from .rig import (
    ACCEPTED,
    BROKEN,
    FORBIDDEN,
    NO_ROUTE,
    NOW_MS,
    REFUSED,
    SLOW_LINE,
    SLOW_PREFIX,
    TIMEOUT_S,
    Gate,
    Rig,
    always,
    line,
    pour,
)


class TestEnd:
    def test_stop_ends_a_wait_at_once(self, rig: Rig) -> None:
        rig.answer = always(FORBIDDEN)
        rig.put("x.pour", line(1))
        rig.start()
        rig.wait_for_tries(1)
        rig.look()
        started_s = time.monotonic()
        rig.stop()

        assert time.monotonic() - started_s < 2

    def test_stop_lets_the_exchange_end_that_is_under_way_and_begins_no_other(self, rig: Rig) -> None:
        gate = rig.answer = Gate()
        for number in (1, 2):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.start()
        rig.wait_for_tries(1)
        rig.uploader.stop()
        gate.opened.set()
        rig.stop()

        assert rig.numbers() == [1]
        assert Scanner(rig.spool.fd, 10).finish().oldest == ["2.pour"]

    def test_a_sign_of_life_after_the_end_does_no_harm(self, rig: Rig) -> None:
        rig.start()
        rig.stop()
        rig.uploader.heartbeat(Heartbeat(NOW_MS))
        rig.uploader.stop()

        assert rig.heartbeats == []

    def test_whoever_looks_is_told_how_it_goes(self, rig: Rig) -> None:
        rig.put("x.pour", line(1))
        rig.start()
        rig.idle()

        assert (rig.progress.accepted, rig.progress.last_status) == (1, 200)
        assert rig.progress.last_accepted_ms == NOW_MS
        assert rig.progress.link is LinkState.UP
        assert rig.uploader.alive_at_s == rig.clock.now_s


class TestDrain:
    def test_everything_is_delivered_and_it_ends(self, rig: Rig) -> None:
        for number in range(1, 21):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.uploader.drain()

        assert rig.tried() == rig.numbers() == list(range(1, 21))
        assert rig.progress.accepted == 20

    def test_each_record_is_tried_once(self, rig: Rig) -> None:
        rig.answer = lambda record: BROKEN if record == pour(2) else REFUSED if record == pour(3) else ACCEPTED
        for number in (1, 2, 3, 4):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.uploader.drain()

        assert rig.tried() == [1, 2, 3, 4]
        assert Scanner(rig.spool.fd, 10).finish().oldest == ["2.pour"]
        assert rig.progress.deferred == rig.progress.rejected == 1

    @pytest.mark.parametrize("verdict", [NO_ROUTE, FORBIDDEN])
    def test_a_server_that_takes_nothing_is_asked_once(self, rig: Rig, verdict: Verdict) -> None:
        rig.answer = always(verdict)
        for number in (1, 2):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.uploader.drain()

        assert rig.tried() == [1]
        assert Scanner(rig.spool.fd, 10).finish().oldest == ["1.pour", "2.pour"]

    def test_it_waits_for_what_is_still_being_written(self, rig: Rig) -> None:
        with (rig.spool.path / "x.pour").open("wb", buffering=0) as writer:
            writer.write(SLOW_PREFIX)
            os.utime(writer.fileno(), ns=(rig.clock.mtime_ns(),) * 2)
            thread = threading.Thread(target=rig.uploader.drain)
            thread.start()
            assert rig.uploader.scanned.wait(TIMEOUT_S)
            writer.write(SLOW_LINE[len(SLOW_PREFIX) :])
        rig.wait_for_tries(1)
        rig.clock.now_s += 11
        rig.uploader.nudge()
        thread.join(TIMEOUT_S)

        assert not thread.is_alive()
        assert rig.accepted == [parse("x.pour", SLOW_LINE)]

    def test_an_empty_spool_is_done_at_once(self, rig: Rig) -> None:
        (rig.spool.path / "odd.pour").mkdir()
        rig.uploader.drain()

        assert rig.tries == []
        assert set(rig.progress.stuck) == {"odd.pour"}
