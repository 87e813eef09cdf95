"""A record is sent once it is whole, once, in its order, and as what its file holds by then."""

import os
from collections import Counter

import pytest

from kegnet_client.core.records import parse
from kegnet_client.delivery.state import MAX_ANNOUNCED
from kegnet_client.spool.directory import enqueue
from kegnet_client.spool.scan import Scanner

from .rig import ACCEPTED, REFUSED, SLOW_LINE, SLOW_PREFIX, YEAR_S, Gate, Rig, line, pour


class TestWhole:
    def test_a_record_renamed_into_place_is_delivered_once_and_removed(self, rig: Rig) -> None:
        rig.start()
        rig.put("x.pour", line(1))
        rig.idle()

        assert rig.tried() == rig.numbers() == [1]
        assert not rig.spool.has("x.pour")
        assert rig.progress.accepted == 1

    def test_a_record_renamed_into_place_needs_no_newline_and_no_wait(self, rig: Rig) -> None:
        rig.start()
        rig.put("x.pour", line(1).rstrip())
        rig.idle()

        assert rig.numbers() == [1]

    def test_what_enqueue_puts_in_is_delivered(self, rig: Rig) -> None:
        rig.start()
        enqueue(rig.spool.path, pour(1))
        rig.idle()

        assert rig.numbers() == [1]

    def test_what_was_announced_and_is_written_again_is_not_whole(self, rig: Rig) -> None:
        gate = Gate()
        rig.answer = gate
        rig.start()
        rig.put("first.pour", line(1))
        rig.wait_for_tries(1)
        # While that one is in the air, a producer makes its file and then begins to write.
        path = rig.spool.path / "slow.pour"
        path.touch()
        with path.open("wb") as writer:
            writer.write(SLOW_PREFIX)
            writer.flush()
            os.utime(path, ns=(rig.clock.mtime_ns(),) * 2)
            gate.opened.set()
            rig.idle()
            assert rig.tried() == [1], "half a record was sent"
            writer.write(SLOW_LINE[len(SLOW_PREFIX) :])
        rig.idle()
        assert rig.numbers() == [1, 1200]
        assert rig.accepted[1] == parse("slow.pour", SLOW_LINE)

    def test_a_file_still_being_written_is_not_sent_and_then_once(self, rig: Rig) -> None:
        rig.start()
        with (rig.spool.path / "x.pour").open("wb", buffering=0) as writer:
            writer.write(SLOW_PREFIX)
            os.utime(writer.fileno(), ns=(rig.clock.mtime_ns(),) * 2)
            (rig.spool.path / os.fsdecode(b"\xff")).touch()  # has the spool scanned
            rig.idle()
            assert rig.tried() == []
            writer.write(SLOW_LINE[len(SLOW_PREFIX) :])
        rig.idle()

        assert rig.accepted == [parse("x.pour", SLOW_LINE)]
        assert len(rig.tries) == 1

    def test_an_announcement_of_an_empty_file_does_not_make_whole_what_is_written_later(self, rig: Rig) -> None:
        rig.start()
        path = rig.spool.path / "x.pour"
        rig.put("x.pour", b"")
        rig.idle()
        rig.pass_time(9)
        with path.open("r+b", buffering=0) as writer:
            writer.write(SLOW_PREFIX)
            os.utime(writer.fileno(), ns=(rig.clock.mtime_ns(),) * 2)
            rig.pass_time(2)
            assert rig.tried() == []
            writer.write(SLOW_LINE[len(SLOW_PREFIX) :])
        rig.idle()

        assert rig.accepted == [parse("x.pour", SLOW_LINE)]

    def test_found_by_a_scan_a_newline_makes_it_whole(self, rig: Rig) -> None:
        rig.put("x.pour", line(1))
        rig.start()
        rig.idle()

        assert rig.numbers() == [1]

    @pytest.mark.parametrize("stepped_s", [0.0, YEAR_S, -YEAR_S, 0.9, -0.9])
    def test_found_by_a_scan_without_newline_it_is_whole_after_ten_unchanged_seconds_and_not_before(
        self, rig: Rig, stepped_s: float
    ) -> None:
        path = rig.spool.path / "x.pour"
        with path.open("wb", buffering=0) as writer:
            writer.write(SLOW_PREFIX)
            os.utime(path, ns=(rig.clock.mtime_ns(),) * 2)
            rig.start()
            rig.idle()
            rig.clock.set_wall_by(stepped_s)
            rig.pass_time(9)
            assert rig.tried() == []
            writer.write(SLOW_LINE[len(SLOW_PREFIX) :])
            os.utime(path, ns=(rig.clock.mtime_ns(),) * 2)
            rig.pass_time(9)
            assert rig.tried() == []
            rig.pass_time(2)
            rig.pass_time(10)  # after a step, ten seconds count from when it was seen

            assert rig.accepted == [parse("x.pour", SLOW_LINE)]

    @pytest.mark.parametrize("stepped_s", [YEAR_S, -YEAR_S])
    def test_a_clock_that_was_set_does_not_make_a_new_file_old(self, rig: Rig, stepped_s: float) -> None:
        rig.start()
        with (rig.spool.path / "x.pour").open("wb", buffering=0) as writer:
            writer.write(SLOW_PREFIX)
            os.utime(writer.fileno(), ns=(rig.clock.mtime_ns(),) * 2)
            rig.clock.set_wall_by(stepped_s)
            (rig.spool.path / os.fsdecode(b"\xff")).touch()  # has the spool scanned
            rig.idle()
            rig.pass_time(9)
            assert rig.tried() == []
            rig.pass_time(2)
            assert len(rig.tries) == 1

    @pytest.mark.parametrize("ahead_s", [0.0005, 0.5])
    def test_a_file_a_little_ahead_of_the_clock_counts_as_new(self, rig: Rig, ahead_s: float) -> None:
        rig.put("x.pour", SLOW_PREFIX, age_s=-ahead_s)
        rig.start()
        rig.idle()
        assert rig.tried() == []
        rig.pass_time(11)

        assert len(rig.tries) == 1

    def test_an_empty_file_is_rejected_once_it_settled_and_its_neighbours_are_sent(self, rig: Rig) -> None:
        rig.put("a.pour", line(1), age_s=3)
        rig.put("b.pour", b"", age_s=2)
        rig.put("c.pour", line(2), age_s=1)
        rig.start()
        rig.idle()
        assert rig.numbers() == [1, 2]
        assert rig.rejected() == {}
        rig.pass_time(9)

        assert rig.rejected() == {"b.pour": "the file is empty; a power cut during writing leaves such files"}
        assert rig.progress.rejected == 1

    def test_a_file_that_was_touched_before_it_was_written_is_delivered(self, rig: Rig) -> None:
        rig.start()
        rig.put("x.pour", b"")
        rig.idle()
        (rig.spool.path / "x.pour").write_bytes(line(1))
        rig.idle()

        assert rig.numbers() == [1]
        assert rig.rejected() == {}

    def test_a_record_replaced_while_it_was_in_the_air_is_not_removed_but_sent(self, rig: Rig) -> None:
        gate = rig.answer = Gate()
        rig.start()
        rig.put("x.pour", line(1))
        rig.wait_for_tries(1)
        rig.put("x.pour", line(2))
        gate.opened.set()
        rig.idle()

        assert rig.numbers() == [1, 2]
        assert not rig.spool.has("x.pour")

    def test_a_record_replaced_while_the_other_was_rejected_is_not_rejected_but_sent(self, rig: Rig) -> None:
        gate = Gate(REFUSED)
        rig.answer = lambda record: gate(record) if record == pour(1) else ACCEPTED
        rig.start()
        rig.put("x.pour", line(1))
        rig.wait_for_tries(1)
        rig.put("x.pour", line(2))
        gate.opened.set()
        rig.idle()

        assert rig.numbers() == [2]
        assert rig.rejected() == {}


class TestOrder:
    def test_what_was_there_before_the_start_goes_oldest_first(self, rig: Rig) -> None:
        for number in (3, 1, 5, 2, 4):
            rig.put(f"{9 - number}.pour", line(number), age_s=100 - number)
        rig.start()
        rig.idle()

        assert rig.numbers() == [1, 2, 3, 4, 5]

    def test_the_first_try_after_a_start_is_immediate(self, rig: Rig) -> None:
        started_s = rig.clock.now_s
        rig.put("x.pour", line(1))
        rig.start()
        rig.wait_for_tries(1)

        assert rig.tries[0][0] == started_s

    def test_a_fresh_record_does_not_wait_for_the_backlog(self, rig: Rig) -> None:
        backlog = MAX_ANNOUNCED + 500
        for number in range(backlog):
            (rig.spool.path / f"{number}.pour").write_bytes(line(number + 1))
        gate = rig.answer = Gate()
        rig.start()
        rig.wait_for_tries(1)
        rig.put("fresh.pour", line(999_999))
        gate.opened.set()
        rig.idle()

        assert rig.tried()[1] == 999_999
        assert Counter(rig.numbers()) == Counter([*range(1, backlog + 1), 999_999])
        assert Scanner(rig.spool.fd, 1).finish().oldest == []

    def test_more_than_can_be_kept_in_mind_at_once_is_all_delivered(self, rig: Rig) -> None:
        gate = rig.answer = Gate()
        rig.start()
        rig.put("first.pour", line(1_000_000))
        rig.wait_for_tries(1)
        announced = list(range(1, MAX_ANNOUNCED + 101))
        for number in announced:
            rig.put(f"{number}.pour", line(number), age_s=number)
        gate.opened.set()
        rig.idle()

        assert rig.numbers() == [1_000_000, *announced[:MAX_ANNOUNCED], *reversed(announced[MAX_ANNOUNCED:])], (
            "the rest by a scan"
        )
        assert len(rig.tries) == MAX_ANNOUNCED + 101
