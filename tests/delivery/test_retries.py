"""A server that is away, broken or refuses this device costs waits and a line, and no record; heartbeats cost
none."""

import itertools
import logging
import shutil

import pytest

from kegnet_client.core.records import Heartbeat
from kegnet_client.core.retry_policy import LinkState
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.spool.scan import Scanner

from ..support.descriptors import open_descriptors
from ..support.threads import threads_named
from .rig import ACCEPTED, BROKEN, FORBIDDEN, NO_ROUTE, NOW_MS, YEAR_S, Gate, Rig, always, line, messages, pour, script


class TestLink:
    def test_an_answer_that_differs_each_time_is_no_change_of_state(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        numbers = itertools.count()
        rig.answer = lambda _: Verdict(Disposition.MISCONFIGURED, f"the server answered 401: #{next(numbers)}", 401)
        rig.put("x.pour", line(1))
        rig.start()
        rig.wait_for_tries(1)
        for tries in range(2, 6):
            rig.clock.now_s += 300
            rig.uploader.nudge()
            rig.wait_for_tries(tries)
        rig.stop()
        assert messages(caplog) == [
            "the server answered 401: #0. Records stay in the spool; next try in 300 s or on reload"
        ]

    def test_what_is_in_the_way_after_the_clock_was_set_is_told_though_the_state_is_the_same(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        late, unknown = (
            Verdict(Disposition.MISCONFIGURED, f"the server answered 401: {why}", 401)
            for why in ("this clock is 60 min behind", "this device is not registered")
        )
        rig.answer = script(late, unknown)
        rig.put("x.pour", line(1))
        rig.start()
        rig.wait_for_tries(1)
        rig.look()
        rig.clock.set_wall_by(3600)
        rig.clock.now_s += 60
        rig.look()
        rig.wait_for_tries(2)
        rig.look()
        rig.stop()
        assert [text.partition(". ")[0] for text in messages(caplog)] == [late.reason, unknown.reason]

    def test_another_fault_of_the_certificate_is_told_and_the_same_at_another_time_is_not(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        reasons = [
            "expired, this clock says 10:00",
            "expired, this clock says 10:05",
            "from a CA that is not in caBundle",
        ]
        rig.answer = script(*(Verdict(Disposition.MISCONFIGURED, reason) for reason in reasons))
        rig.put("x.pour", line(1))
        rig.start()
        for tries in (1, 2, 3):
            rig.wait_for_tries(tries)
            rig.look()
            rig.clock.now_s += 300
            rig.uploader.nudge()
        rig.stop()
        assert [text.partition(". ")[0] for text in messages(caplog)] == [reasons[0], reasons[2]]

    def test_while_the_server_is_away_all_is_kept_in_order_and_each_change_of_state_is_one_line(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig.answer = always(NO_ROUTE)
        for number in (1, 2, 3):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.start()
        rig.wait_for_tries(1)
        rig.look()
        rig.pass_time_waiting(1)
        assert rig.tried() == [1, 1]
        assert rig.progress.link is LinkState.DEFERRED
        assert Scanner(rig.spool.fd, 10).finish().oldest == ["1.pour", "2.pour", "3.pour"]
        rig.answer = always(ACCEPTED)
        rig.clock.now_s += 300
        rig.idle()

        assert rig.numbers() == [1, 2, 3]
        assert messages(caplog) == ["no route. Records stay in the spool and are tried again"]
        assert messages(caplog, logging.INFO).count("the server takes records again") == 1

    @pytest.mark.parametrize("verdict", [NO_ROUTE, BROKEN])
    def test_a_long_outage_is_one_line_and_loses_nothing(
        self, rig: Rig, caplog: pytest.LogCaptureFixture, verdict: Verdict
    ) -> None:
        rig.answer = always(verdict)
        for number in range(1, 21):
            rig.put(f"{number:02}.pour", line(number), age_s=100 - number)
        rig.start()
        rig.wait_for_tries(1)
        for _ in range(100):
            rig.pass_time_waiting(301)
        assert len(rig.tries) >= 100
        assert len(Scanner(rig.spool.fd, 100).finish().oldest) == 20
        told = messages(caplog)
        assert len([text for text in told if "stay in the spool" in text]) == 1
        assert len(told) <= 2, "a line for the link, one for the first that stepped aside"

        rig.answer = always(ACCEPTED)
        rig.clock.now_s += 3600
        rig.idle()
        assert sorted(rig.numbers()) == list(range(1, 21))

    def test_each_wait_is_longer_than_the_one_before_up_to_five_minutes(self, rig: Rig) -> None:
        rig.answer = always(NO_ROUTE)
        rig.put("x.pour", line(1))
        rig.start()
        rig.wait_for_tries(1)
        rig.look()
        waits = []
        for _ in range(12):
            before = len(rig.tries)
            since_s = rig.clock.now_s
            while len(rig.tries) == before:
                rig.pass_time_waiting(0.25 if rig.clock.now_s - since_s < 4 else 8)
            waits.append(rig.clock.now_s - since_s)

        assert waits[0] < 2
        assert max(waits) < 2 * 150 + 16  # half of the ceiling twice: the link's and, after three failures, its own
        assert waits[-1] > 100

    def test_what_another_might_not_meet_steps_aside_and_the_others_go_on(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig.answer = lambda record: BROKEN if record == pour(1) else ACCEPTED
        for number in (1, 2, 3):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.start()
        rig.idle()
        assert rig.tried() == [1, 2, 3]
        rig.put("4.pour", line(4))
        rig.idle()
        assert rig.numbers() == [2, 3, 4]
        assert messages(caplog) == ["1.pour is tried again later, other records go on: the server answered 500"]
        rig.pass_time(1)
        assert rig.tried() == [1, 2, 3, 4, 1], "it has a wait of its own, shorter than a scan's"
        for _ in range(20):
            rig.pass_time(300)
        assert 20 <= rig.tried().count(1) <= 30, "neither forgotten nor hammered"
        assert len(messages(caplog)) == 1, "told once"
        assert rig.spool.has("1.pour")

        rig.answer = always(ACCEPTED)
        rig.pass_time(300)
        assert rig.numbers() == [2, 3, 4, 1]

    def test_when_two_different_ones_fail_the_link_waits(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        rig.answer = always(BROKEN)
        for number in (1, 2, 3):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.start()
        rig.wait_for_tries(2)
        rig.look()

        assert rig.tried() == [1, 2]
        assert messages(caplog) == [
            "1.pour is tried again later, other records go on: the server answered 500",
            "the server answered 500. Records stay in the spool and are tried again",
        ]

    def test_a_server_that_refuses_this_device_gets_one_try_in_five_minutes_and_one_line(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig.answer = always(FORBIDDEN)
        for number in (1, 2):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.start()
        rig.wait_for_tries(1)
        rig.look()
        for number in range(1, 6):
            rig.pass_time_waiting(299)
            assert len(rig.tries) == number
            rig.pass_time_waiting(1)
            assert len(rig.tries) == number + 1
        assert rig.tried()[:4] == [1, 2, 1, 2]
        assert Scanner(rig.spool.fd, 10).finish().oldest == ["1.pour", "2.pour"]
        assert rig.progress.link is LinkState.MISCONFIGURED
        assert rig.progress.last_status == 403
        assert messages(caplog) == [f"{FORBIDDEN.reason}. Records stay in the spool; next try in 300 s or on reload"]

        rig.answer = always(ACCEPTED)
        rig.clock.now_s += 300
        rig.idle()
        assert sorted(rig.numbers()) == [1, 2]

    def test_the_server_is_not_asked_again_before_it_said(self, rig: Rig) -> None:
        rig.answer = script(
            Verdict(Disposition.DEFERRED, "the server answered 503", 503, retry_after_s=120.0), ACCEPTED
        )
        rig.put("1.pour", line(1))
        rig.start()
        rig.wait_for_tries(1)
        rig.look()
        rig.put("2.pour", line(2))
        rig.pass_time_waiting(119)
        assert len(rig.tries) == 1
        rig.clock.now_s += 2
        rig.idle()

        assert sorted(rig.numbers()) == [1, 2]

    @pytest.mark.parametrize("seconds", [YEAR_S, -YEAR_S])
    def test_a_clock_that_is_set_ends_the_wait(self, rig: Rig, seconds: float) -> None:
        rig.answer = script(
            Verdict(Disposition.DEFERRED, "the server answered 503", 503, retry_after_s=3600.0), ACCEPTED
        )
        rig.put("x.pour", line(1))
        rig.start()
        rig.wait_for_tries(1)
        rig.look()
        rig.pass_time_waiting(60)
        assert len(rig.tries) == 1
        rig.clock.set_wall_by(seconds)
        rig.clock.now_s += 60
        rig.look()
        rig.idle()

        assert rig.numbers() == [1]

    @pytest.mark.parametrize("seconds", [YEAR_S, -YEAR_S])
    def test_intervals_do_not_care_for_the_wall_clock(self, rig: Rig, seconds: float) -> None:
        rig.start()
        rig.idle()
        rig.clock.set_wall_by(seconds)
        rig.put("x.pour", line(1))
        rig.idle()
        shutil.rmtree(rig.spool.path)
        rig.spool.path.mkdir()
        rig.put("y.pour", line(2))
        rig.pass_time(59)
        assert rig.numbers() == [1]
        rig.pass_time(1)

        assert rig.numbers() == [1, 2]

    def test_many_failures_cost_no_descriptor_and_no_thread(self, rig: Rig) -> None:
        def cost() -> tuple[int, int]:
            return len(open_descriptors()), len(threads_named("uploader"))

        rig.answer = lambda record: ACCEPTED if isinstance(record, Heartbeat) else NO_ROUTE
        rig.put("x.pour", line(1))
        rig.start()
        rig.wait_for_tries(1)
        descriptors, threads = cost()
        for _ in range(200):
            rig.pass_time_waiting(301)

        assert len(rig.tries) > 100
        more_descriptors, more_threads = cost()
        assert more_descriptors <= descriptors  # fewer, if what an earlier test left is collected now
        assert more_threads <= threads


class TestHeartbeat:
    def test_a_server_that_knows_pours_only_gets_them_without_a_pause(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        unknown = Verdict(Disposition.MISCONFIGURED, "the server answered 404", 404)
        rig.answer = lambda record: unknown if isinstance(record, Heartbeat) else ACCEPTED
        rig.start()
        for number in range(1, 13):
            rig.idle()
            rig.put(f"{number}.pour", line(number))
        rig.idle()
        assert rig.numbers() == list(range(1, 13))
        assert messages(caplog) == ["the server takes no heartbeats (the server answered 404); records go on"]

    def test_a_sign_of_life_is_sent_at_once_and_never_spooled(self, rig: Rig) -> None:
        rig.start()
        rig.uploader.heartbeat(Heartbeat(NOW_MS))
        rig.wait_for(lambda: rig.heartbeats == [NOW_MS])

        assert list(rig.spool.path.iterdir()) == []

    def test_one_that_could_not_be_sent_is_dropped_for_a_newer_one(self, rig: Rig) -> None:
        gate = rig.answer = Gate()
        rig.start()
        rig.put("x.pour", line(1))
        rig.wait_for_tries(1)
        for number in (NOW_MS, NOW_MS + 1, NOW_MS + 2):
            rig.uploader.heartbeat(Heartbeat(number))
        gate.opened.set()
        rig.wait_for(lambda: bool(rig.heartbeats))
        rig.idle()

        assert rig.heartbeats[0] == NOW_MS + 2
        assert not {NOW_MS, NOW_MS + 1} & {*rig.heartbeats}

    def test_a_server_that_refuses_signs_of_life_still_gets_every_record(self, rig: Rig) -> None:
        rig.answer = lambda record: FORBIDDEN if isinstance(record, Heartbeat) else ACCEPTED
        rig.uploader.heartbeat(Heartbeat(NOW_MS))
        rig.start()
        rig.wait_for(lambda: len(rig.heartbeats) == 1)
        for number in range(1, 6):
            rig.put(f"{number}.pour", line(number))
        rig.uploader.heartbeat(Heartbeat(NOW_MS))
        rig.look()
        rig.clock.now_s += 300
        rig.uploader.nudge()
        rig.wait_for_tries(5)
        rig.wait_for(lambda: len(rig.heartbeats) == 2)

        assert rig.numbers() == [1, 2, 3, 4, 5]

    def test_one_that_fails_says_nothing_of_records_until_one_waits(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig.answer = lambda _: NO_ROUTE
        rig.start()
        rig.uploader.heartbeat(Heartbeat(NOW_MS))
        rig.wait_for(lambda: rig.progress.link is LinkState.DEFERRED)
        assert messages(caplog) == ["no route. No record waits"]
        rig.put("x.pour", line(1))
        rig.pass_time_waiting(2)
        rig.wait_for_tries(1)
        rig.pass_time_waiting(301)
        rig.wait_for_tries(2)

        assert messages(caplog)[1:] == ["no route. Records stay in the spool and are tried again"]

    def test_a_5xx_to_one_names_no_record(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        rig.answer = lambda _: BROKEN
        rig.start()
        for number in range(3):
            rig.uploader.heartbeat(Heartbeat(NOW_MS + number))
            rig.wait_for(lambda count=number + 1: len(rig.heartbeats) == count)  # type: ignore[misc]  # a default binds
            rig.pass_time_waiting(301)

        assert messages(caplog) == ["the server answered 500. No record waits"]
