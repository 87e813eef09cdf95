"""From a file to its acknowledgement: the uploader in its thread, a real spool, real inotify, and a server that does
what a test says. Only time is not real: it passes when a test lets it."""

import errno
import gc
import itertools
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kegnet_client.clock import Clock
from kegnet_client.core.delivery import Disposition, Verdict
from kegnet_client.core.errors import SpoolInUseError
from kegnet_client.core.link import LinkState
from kegnet_client.core.records import Heartbeat, Pour, Record, format_record, parse
from kegnet_client.progress import Progress
from kegnet_client.rejected import list_rejected, retry
from kegnet_client.spool import Spool, SpoolFile, enqueue
from kegnet_client.uploader import MAX_ANNOUNCED, Uploader

NOW_MS = 1_800_000_000_000
YEAR_S = 365 * 24 * 3600.0
TIMEOUT_S = 20.0

Answer = Callable[[Record | Heartbeat], Verdict]

ACCEPTED = Verdict(Disposition.ACCEPTED, "the server answered 200", 200)
NO_ROUTE = Verdict(Disposition.DEFERRED, "no route")
BROKEN = Verdict(Disposition.DEFERRED, "the server answered 500", 500, record_may_be_the_cause=True)
REFUSED = Verdict(Disposition.REJECTED, "the server answered 400", 400)
FORBIDDEN = Verdict(Disposition.MISCONFIGURED, "the server answered 403: register", 403)

SLOW_LINE = b"0,12,1000,1800000000000"
SLOW_PREFIX = SLOW_LINE[:-3]
"""A record too, in an old producer's seconds."""


class FakeClock(Clock):
    """Stands still until a test moves it. A thread sees both clocks as they were when it read the one for intervals."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000_000.0
        self._ahead_ms = NOW_MS - 1_000_000_000
        self._seen = threading.local()

    def monotonic_s(self) -> float:
        self._seen.now_s = self.now_s
        return self.now_s

    def wall_ms(self) -> int:
        return round(getattr(self._seen, "now_s", self.now_s) * 1000) + self._ahead_ms

    def set_wall_by(self, seconds: float) -> None:
        self._ahead_ms += round(seconds * 1000)

    def mtime_ns(self, age_s: float = 0.0) -> int:
        """The modification time of what changed so long ago."""
        return (round((self.now_s - age_s) * 1000) + self._ahead_ms) * 1_000_000


def pour(number: int) -> Pour:
    return Pour(pin=0, pulses=number, elapsed_ms=1000, started_ms=NOW_MS)


def line(number: int) -> bytes:
    return format_record(pour(number))


class OneByOne:
    """A connection to a server that does what ``answer`` does with each record."""

    max_records = 1
    max_connections = 1

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def send(self, records: Sequence[Record | Heartbeat]) -> list[Verdict]:
        return [self._answer(record) for record in records]

    def abort(self) -> None:
        """Nothing here takes its time."""

    def close(self) -> None:
        """Nothing is open."""


class Rig:
    """An `Uploader` at work on ``spool``, and the server that it sends to."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.clock = FakeClock()
        self.progress = Progress()
        self.answer: Answer = lambda _: ACCEPTED
        self.tries: list[tuple[float, Record]] = []
        self.heartbeats: list[int] = []
        self.accepted: list[Record] = []
        self._told = False
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self.uploader = Uploader(
            spool, lambda: OneByOne(self._send), self.clock, lambda: 0.5, self.progress, self._publish
        )
        self._thread = threading.Thread(target=self.uploader.run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self.uploader.scanned.wait(TIMEOUT_S)

    def stop(self) -> None:
        if self._thread.ident is not None:
            self.uploader.stop()
            self._thread.join(TIMEOUT_S)
            assert not self._thread.is_alive()

    def put(self, name: str, data: bytes, age_s: float = 0.0) -> None:
        """Rename a file into place."""
        temp = self.spool.path / ".put.tmp"
        temp.write_bytes(data)
        os.utime(temp, ns=(self.clock.mtime_ns(age_s),) * 2)
        temp.rename(self.spool.path / name)

    def wait_for(self, what: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(what, TIMEOUT_S), (self.tries, self.progress)

    def wait_for_tries(self, number: int) -> None:
        self.wait_for(lambda: len(self.tries) >= number)

    def idle(self) -> None:
        """Wait until nothing is left to do at this time. For a link that is ready: signs of life come after all
        records, and with a clock that stands still only an uploader with nothing to do publishes twice."""
        for _ in range(2):
            self._beat()

    def _beat(self) -> None:
        number = next(self._numbers)
        self.uploader.heartbeat(Heartbeat(number))
        self.wait_for(lambda: self._told and number in self.heartbeats)

    def look(self) -> None:
        """Wait until the uploader has gone round at this time, also if its link is not ready."""
        for _ in range(2):
            self.clock.now_s += 0.001
            self.uploader.nudge()
            deadline_s = time.monotonic() + TIMEOUT_S
            while self.uploader.alive_at_s != self.clock.now_s:
                assert time.monotonic() < deadline_s
                threading.Event().wait(0.0005)

    def pass_time(self, seconds: float) -> None:
        """Let time pass while nothing is to be sent to a server that takes records."""
        self.clock.now_s += seconds
        self.idle()

    def pass_time_waiting(self, seconds: float) -> None:
        """Let time pass while the link is not ready."""
        self.clock.now_s += seconds
        self.look()

    def numbers(self) -> list[int]:
        """The pours that were accepted, in order."""
        return [record.pulses for record in self.accepted if isinstance(record, Pour)]

    def tried(self) -> list[int]:
        return [record.pulses for _, record in self.tries if isinstance(record, Pour)]

    def rejected(self) -> dict[str, str]:
        return {one.name: one.reason.split(" ", 1)[1] for one in list_rejected(self.spool.path)}

    def _send(self, record: Record | Heartbeat) -> Verdict:
        if isinstance(record, Heartbeat):
            verdict = self.answer(record)
            with self._changed:
                self.heartbeats.append(record.at_ms)
                self._told = False
                self._changed.notify_all()
            return verdict
        with self._changed:
            self.tries.append((self.clock.now_s, record))
            self._changed.notify_all()
        verdict = self.answer(record)
        with self._changed:
            if verdict.disposition is Disposition.ACCEPTED:
                self.accepted.append(record)
            self._changed.notify_all()
        return verdict

    def _publish(self) -> None:
        with self._changed:
            self._told = True
            self._changed.notify_all()


class Stubborn(Spool):
    """Does not let go of one of its files."""

    def remove(self, file: SpoolFile) -> bool:
        if file.name == "stubborn.pour":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return super().remove(file)


class Gate:
    """A server that takes its time: it answers when the test says so."""

    def __init__(self, verdict: Verdict = ACCEPTED) -> None:
        self.verdict = verdict
        self.opened = threading.Event()

    def __call__(self, _record: Record | Heartbeat) -> Verdict:
        assert self.opened.wait(TIMEOUT_S)
        return self.verdict


def script(*verdicts: Verdict) -> Answer:
    """Answers to records one after the other, and then for ever the last one; signs of life are always taken."""
    remaining = list(verdicts)

    def answer(record: Record | Heartbeat) -> Verdict:
        if isinstance(record, Heartbeat):
            return ACCEPTED
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    return answer


def always(verdict: Verdict) -> Answer:
    return lambda _: verdict


@pytest.fixture
def rig(spool: Spool, caplog: pytest.LogCaptureFixture) -> Iterator[Rig]:
    caplog.set_level(logging.INFO)
    rig = Rig(spool)
    yield rig
    rig.stop()


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


@contextmanager
def lowered(setting: str, value: int) -> Iterator[None]:
    """A limit of the kernel's inotify, for a moment."""
    path = Path("/proc/sys/fs/inotify") / setting
    before = path.read_text()
    try:
        path.write_text(str(value))
    except OSError as error:
        pytest.skip(f"takes root: {error}")
    try:
        yield
    finally:
        path.write_text(before)


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
        assert rig.numbers() == [1, 12]
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
        assert rig.spool.scan(1).finish().oldest == []

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


class TestDirectory:
    @pytest.mark.alone
    def test_after_an_overflow_of_events_all_are_delivered(self, rig: Rig) -> None:
        gate = rig.answer = Gate()
        with lowered("max_queued_events", 3):
            rig.start()
        rig.put("first.pour", line(1))
        rig.wait_for_tries(1)
        for number in range(2, 50):
            rig.put(f"{number}.pour", line(number))
        gate.opened.set()
        rig.idle()

        assert sorted(rig.numbers()) == list(range(1, 50))

    @pytest.mark.parametrize("running", [False, True])
    def test_a_name_that_is_not_utf8_is_like_any_other_and_its_neighbours_too(self, rig: Rig, running: bool) -> None:
        if running:
            rig.start()
        for number, name in enumerate([b"a.pour", b"\xff\xfe.pour", b"b.pour"], 1):
            rig.put(os.fsdecode(name), line(number))
        rig.put(os.fsdecode(b"\xff.reading"), b"bad\n")
        if not running:
            rig.start()
        rig.idle()

        assert sorted(rig.numbers()) == [1, 2, 3]
        assert [os.fsencode(name) for name in rig.rejected()] == [b"\xff.reading"]

    def test_no_name_can_break_a_log_line(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        names = [b"%d\n\x1b[31mERROR\r\xff.pour" % number for number in range(4)]
        for number, name in enumerate(names[:2], 1):
            rig.put(os.fsdecode(name), line(number), age_s=100 - number)
        rig.put(os.fsdecode(names[2]), b"no pour\n")
        (rig.spool.path / os.fsdecode(names[3])).mkdir()
        rig.answer = script(BROKEN, ACCEPTED)
        rig.start()
        rig.idle()

        told = [record.getMessage() for record in caplog.records]
        for number, what in enumerate(("steps aside", "delivered", "rejected", "stays")):
            assert any(what in text and f"{number}\\n" in text for text in told), (what, told)
        for record in caplog.records:
            assert record.getMessage().isprintable()
            assert record.__dict__.get("KEGNET_FILE", "-").isprintable()

    def test_files_that_are_not_ours_are_not_touched(self, rig: Rig) -> None:
        names = ["README", ".hidden.pour", "x.pour.tmp", "x.pour~", "x.POUR", "pour", "x.pour.bak", "x.json"]
        for name in names[::2]:
            rig.put(name, line(1), age_s=1000)
        rig.start()
        for name in names[1::2]:
            rig.put(name, line(1), age_s=1000)
        rig.put("ours.pour", line(2))
        rig.idle()
        rig.pass_time(61)

        assert rig.tried() == [2]
        assert sorted(path.name for path in rig.spool.path.iterdir()) == sorted(names)
        assert {(rig.spool.path / name).read_bytes() for name in names} == {line(1)}

    def test_a_file_that_vanishes_before_its_turn_is_ignored(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        gate = rig.answer = Gate()
        rig.start()
        rig.put("a.pour", line(1))
        rig.wait_for_tries(1)
        rig.put("b.pour", line(2))
        rig.put("c.pour", line(3))
        (rig.spool.path / "b.pour").unlink()
        gate.opened.set()
        rig.idle()

        assert rig.numbers() == [1, 3]
        assert messages(caplog) == []

    def test_a_spool_that_is_moved_away_is_made_anew_watched_and_locked_at_once(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig.start()
        rig.idle()
        rig.spool.path.rename(rig.spool.path.with_name("moved"))
        rig.idle()
        rig.put("x.pour", line(1))
        rig.idle()

        assert rig.numbers() == [1]
        assert messages(caplog) == [f"{rig.spool.path} was replaced; going on with the new one"]
        with closing(Spool(rig.spool.path)) as second, pytest.raises(SpoolInUseError):
            second.lock()

    @pytest.mark.parametrize("recreated", [False, True])
    def test_a_spool_that_is_deleted_is_back_within_a_minute(self, rig: Rig, recreated: bool) -> None:
        rig.start()
        rig.idle()
        shutil.rmtree(rig.spool.path)
        if recreated:
            rig.spool.path.mkdir()
            rig.put("found.pour", line(1))
        rig.pass_time(60)
        rig.put("announced.pour", line(2))
        rig.idle()

        assert rig.numbers() == ([1, 2] if recreated else [2])
        with closing(Spool(rig.spool.path)) as second, pytest.raises(SpoolInUseError):
            second.lock()

    def test_what_was_undecided_or_stuck_in_the_old_spool_says_nothing_of_the_new(self, tmp_path: Path) -> None:
        with closing(Stubborn(tmp_path / "stubborn")) as spool:
            rig = Rig(spool)
            rig.put("stubborn.pour", line(1), age_s=100)
            rig.put("unsettled.pour", SLOW_PREFIX)
            rig.start()
            rig.idle()
            gate = rig.answer = Gate()
            rig.put("x.pour", line(2))
            rig.wait_for_tries(2)
            spool.path.rename(tmp_path / "moved")
            spool.path.mkdir()
            rig.put("stubborn.pour", line(3), age_s=100)
            rig.put("unsettled.pour", line(4), age_s=50)
            gate.opened.set()
            rig.idle()
            rig.stop()

        assert rig.numbers() == [1, 2, 3, 4]

    def test_a_new_spool_starts_with_nothing_of_the_old(self, rig: Rig) -> None:
        for number in range(1, 4):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        gate = rig.answer = Gate()
        rig.start()
        rig.wait_for_tries(1)
        moved = rig.spool.path.with_name("moved")
        rig.spool.path.rename(moved)
        rig.spool.path.mkdir()
        rig.put("1.pour", line(4))
        gate.opened.set()
        rig.idle()

        assert rig.numbers() == [1, 4]
        assert sorted(path.name for path in moved.iterdir()) == ["2.pour", "3.pour"]

    def test_a_spool_in_whose_place_another_instance_is_leaves_this_one_its_own_and_says_so_once(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = rig.answer = Gate()
        rig.start()
        rig.put("first.pour", line(3))
        rig.wait_for_tries(1)
        moved = rig.spool.path.with_name("moved")
        rig.spool.path.rename(moved)
        with closing(Spool(rig.spool.path)) as other:
            other.lock()
            gate.opened.set()
            rig.idle()
            rig.pass_time(60)
            rig.pass_time(60)
            (moved / "x.pour").write_bytes(line(1))
            rig.idle()
            assert rig.numbers() == [3, 1]
            assert rig.progress.spool_problem is not None
            assert messages(caplog) == [f"{rig.progress.spool_problem}; going on with the directory that was there"]
        rig.pass_time(60)
        rig.put("y.pour", line(2))
        rig.idle()

        assert rig.numbers() == [3, 1, 2]
        assert rig.progress.spool_problem is None

    @pytest.mark.alone
    def test_without_inotify_scanning_goes_on_and_one_warning_says_so(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig.put("a.pour", line(1))
        with lowered("max_user_instances", 0):
            rig.start()
            rig.idle()
            rig.put("b.pour", line(2))
            rig.idle()
            assert rig.numbers() == [1]
            rig.pass_time(60)
            assert rig.numbers() == [1, 2]
            rig.put("c.pour", line(3))
            rig.pass_time(60)
            assert rig.numbers() == [1, 2, 3]
            [warning] = messages(caplog)
            assert warning.startswith("inotify is not to be had")
            assert warning.endswith("looking into the spool every 60 s instead")
            assert rig.progress.watch_problem
        rig.pass_time(60)
        rig.put("d.pour", line(4))
        rig.idle()

        assert rig.numbers() == [1, 2, 3, 4]
        assert rig.progress.watch_problem is None


def test_a_spool_that_cannot_be_changed_is_told_before_anything_is_delivered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid() != 0:
        pytest.skip("takes root, which gives the directory to another user")
    (directory := tmp_path / "spool").mkdir(mode=0o555)
    spool = Spool(directory)
    os.setreuid(65534, 0)
    try:
        rig = Rig(spool)
        rig.start()
        rig.idle()
        rig.stop()
    finally:
        os.setreuid(0, 0)
    assert rig.progress.spool_problem == (
        f"{directory} is read-only for this user: what is delivered cannot be removed"
    )
    assert messages(caplog) == [f"{rig.progress.spool_problem}; make it writable (mount -o remount,rw, or chown)"]


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{directory}/{path.name}")
    os.close(directory)


def make_link(path: Path) -> None:
    (path.parent / "target").write_bytes(line(7))
    path.symlink_to("target")


def make_directory(path: Path) -> None:
    path.mkdir()


class TestStuck:
    @pytest.mark.parametrize("running", [False, True])
    @pytest.mark.parametrize("make", [make_fifo, make_socket, make_link, make_directory])
    def test_what_is_not_a_regular_file_stays_with_one_warning_and_blocks_nobody(
        self, rig: Rig, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None], running: bool
    ) -> None:
        if running:
            rig.start()
        make(rig.spool.path / "odd.tmp")
        (rig.spool.path / "odd.tmp").rename(rig.spool.path / "odd.pour")
        rig.put("x.pour", line(1))
        if not running:
            rig.start()
        rig.idle()
        rig.pass_time(60)
        rig.pass_time(60)

        assert rig.numbers() == [1]
        remedy = "not a regular file; a record is one, so remove it or rename it"
        assert rig.progress.stuck == {"odd.pour": remedy}
        assert messages(caplog) == [f"odd.pour stays where it is: {remedy}"]
        assert rig.spool.has("odd.pour")

    def test_it_is_forgotten_when_it_is_gone_and_taken_when_it_became_a_record(self, rig: Rig) -> None:
        for name in ("gone.pour", "mended.pour"):
            (rig.spool.path / name).mkdir()
        rig.start()
        rig.idle()
        assert set(rig.progress.stuck) == {"gone.pour", "mended.pour"}
        for name in ("gone.pour", "mended.pour"):
            (rig.spool.path / name).rmdir()
        rig.put("mended.pour", line(1))
        rig.idle()
        assert set(rig.progress.stuck) == {"gone.pour"}
        rig.pass_time(60)

        assert rig.progress.stuck == {}
        assert rig.numbers() == [1]

    def test_an_unreadable_file_stays_until_it_can_be_read(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        rig.put("closed.pour", line(1), age_s=100)
        (rig.spool.path / "closed.pour").chmod(0)
        rig.put("x.pour", line(2))
        rig.spool.path.chmod(0o777)
        if root := os.geteuid() == 0:
            (rig.spool.path / "x.pour").chmod(0o644)
            os.seteuid(65534)
        try:
            rig.start()
            rig.idle()
            assert rig.numbers() == [2]
            remedy = "cannot be read; make it readable for the group of the spool (chmod g+r)"
            assert rig.progress.stuck == {"closed.pour": remedy}
            assert f"closed.pour stays where it is: {remedy}" in messages(caplog)
            if root:
                os.seteuid(0)
            (rig.spool.path / "closed.pour").chmod(0o644)
            rig.pass_time(60)
        finally:
            if root:
                os.seteuid(0)

        assert rig.numbers() == [2, 1]
        assert rig.progress.stuck == {}


class TestRejection:
    MALFORMED = (
        b"0,1,2",
        b"0,1,2,1800000000000,4",
        b"pin,1,2,1800000000000",
        b"0,1_000,2,1800000000000",
        "0,٣,2,1800000000000".encode(),
        b"0,007,2,1800000000000",
        b"0,+5,2,1800000000000",
        b"0,-5,2,1800000000000",
        b" 0,5,2,1800000000000",
        b"0,5,2,1800000000000 ",
        b"0,5.0,2,1800000000000",
        b"256,5,2,1800000000000",
        b"0,0,2,1800000000000",
        b"0,2147483648,2,1800000000000",
        b"0,5,86400001,1800000000000",
        b"0,5,2,0",
        b"0,5,2,17",
        b"0,5,2,9999999999999999",
        b"0,5,2,1800000000000\0",
        b"\0" * 24,
        b"0,5,2,1800000000000\r\n",
        b"0,5,2,1800000000000\n0,5,2,1800000000000\n",
        b"\n",
        b"\xff\xfe0,5,2",
        b"x" * 4096,
    )

    def test_every_malformed_file_is_kept_byte_for_byte_with_its_reason_and_the_next_proceeds(self, rig: Rig) -> None:
        for number, data in enumerate(self.MALFORMED):
            rig.put(f"{number:02}.pour", data, age_s=1000 - number)
        rig.put("98.reading", b"28-0316a2795c5b,4.5,1800000000000\n", age_s=900)
        rig.put("99.pour", line(1), age_s=10)
        rig.start()
        rig.idle()

        assert rig.tried() == [1]
        rejected = rig.rejected()
        assert sorted(rejected) == [*(f"{number:02}.pour" for number in range(len(self.MALFORMED))), "98.reading"]
        assert all(rejected.values())
        for number, data in enumerate(self.MALFORMED):
            assert (rig.spool.path / "rejected" / f"{number:02}.pour").read_bytes() == data
        assert rig.progress.rejected == len(rejected)
        assert rig.progress.link is LinkState.UP

    def test_a_file_of_any_size_is_rejected_unread(self, rig: Rig) -> None:
        rig.put("huge.pour", b"")
        os.truncate(rig.spool.path / "huge.pour", 1 << 40)
        rig.start()
        rig.idle()

        assert rig.rejected() == {"huge.pour": "the file has 1099511627776 bytes, a record fits in 4096"}

    def test_what_the_server_refuses_is_kept_with_what_it_said(self, rig: Rig) -> None:
        rig.answer = script(REFUSED, ACCEPTED)
        rig.put("a.pour", line(1), age_s=2)
        rig.put("b.pour", line(2), age_s=1)
        rig.start()
        rig.idle()

        assert rig.numbers() == [2]
        assert rig.rejected() == {"a.pour": "the server answered 400"}

    def test_ten_in_a_row_are_the_servers_fault_and_the_rest_stays_and_takes_turns(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig.answer = always(REFUSED)
        for number in range(1, 14):
            rig.put(f"{number:02}.pour", line(number), age_s=100 - number)
        rig.start()
        rig.wait_for_tries(10)
        rig.look()
        assert list(rig.rejected()) == [f"{number:02}.pour" for number in range(1, 11)]
        rig.pass_time_waiting(299)
        assert rig.tried() == list(range(1, 11))
        for number in (11, 12, 13, 11):
            rig.pass_time_waiting(300)
            assert rig.tried()[-1] == number
        assert len(rig.tries) == 14
        assert len(rig.rejected()) == 10
        assert rig.spool.scan(10).finish().oldest == ["11.pour", "12.pour", "13.pour"]
        assert len([text for text in messages(caplog) if "rejected 10 records in a row" in text]) == 1

        rig.answer = always(ACCEPTED)
        rig.clock.now_s += 300
        rig.idle()
        assert sorted(rig.numbers()) == [11, 12, 13]
        rig.answer = script(REFUSED, ACCEPTED)
        rig.put("14.pour", line(14))
        rig.idle()
        assert len(rig.rejected()) == 11, "an acceptance has ended the doubt"

    def test_rejected_records_that_are_put_back_are_sent(self, rig: Rig) -> None:
        rig.answer = script(REFUSED, ACCEPTED)
        rig.put("x.pour", line(1))
        rig.start()
        rig.idle()
        retry(rig.spool.path, "x.pour")
        rig.idle()

        assert rig.numbers() == [1]


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
        assert rig.spool.scan(10).finish().oldest == ["1.pour", "2.pour", "3.pour"]
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
        assert len(rig.spool.scan(100).finish().oldest) == 20
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
        assert messages(caplog) == ["1.pour steps aside for the others: the server answered 500"]
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
            "1.pour steps aside for the others: the server answered 500",
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
        assert rig.spool.scan(10).finish().oldest == ["1.pour", "2.pour"]
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
            gc.collect()  # what earlier tests left must not go between the two counts
            return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

        rig.answer = lambda record: ACCEPTED if isinstance(record, Heartbeat) else NO_ROUTE
        rig.put("x.pour", line(1))
        rig.start()
        rig.wait_for_tries(1)
        before = cost()
        for _ in range(200):
            rig.pass_time_waiting(301)

        assert len(rig.tries) > 100
        assert cost() == before


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
        assert messages(caplog) == ["the server takes no signs of life (the server answered 404); records go on"]

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


def test_what_is_stuck_does_not_pile_up_while_the_server_is_away(tmp_path: Path) -> None:
    looks: list[str] = []

    class Counting(Spool):
        def read(self, name: str) -> SpoolFile:
            looks.append(name)
            return super().read(name)

    spool = Counting(tmp_path / "spool")
    (spool.path / "odd.pour").mkdir()
    rig = Rig(spool)
    rig.answer = always(NO_ROUTE)
    rig.put("x.pour", line(1))
    rig.start()
    rig.wait_for_tries(1)
    for _ in range(40):
        rig.pass_time_waiting(60)
    rig.answer = always(ACCEPTED)
    looks.clear()
    rig.clock.now_s += 300
    rig.uploader.nudge()
    rig.idle()
    rig.stop()
    assert rig.numbers() == [1]
    assert looks.count("odd.pour") <= 2


class TestDisk:
    def test_what_cannot_be_removed_after_its_acknowledgement_is_not_sent_again(
        self, mount_tmpfs: Callable[[str], Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        disk = mount_tmpfs("size=256k")
        spool = Spool(disk / "spool")
        spool.lock()
        rig = Rig(spool)
        for number in (1, 2):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.put("bad.pour", b"bad\n", age_s=10)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        rig.start()
        rig.idle()
        rig.pass_time(60)
        rig.pass_time(60)
        assert rig.tried() == rig.numbers() == [1, 2]
        assert rig.progress.spool_problem
        assert len(messages(caplog, logging.ERROR)) == 1
        assert sorted(spool.scan(10).finish().oldest) == ["1.pour", "2.pour", "bad.pour"]

        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        rig.pass_time(60)
        rig.stop()
        assert spool.scan(10).finish().oldest == []
        assert list(rig.rejected()) == ["bad.pour"]
        assert rig.tried() == [1, 2]
        assert rig.progress.spool_problem is None
        spool.close()

    def test_on_a_full_disk_what_is_spooled_is_still_sent_and_room_is_made(
        self, mount_tmpfs: Callable[[str], Path]
    ) -> None:
        disk = mount_tmpfs("size=64k")
        spool = Spool(disk / "spool")
        spool.lock()
        rig = Rig(spool)
        for number in (1, 2):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.put("bad.pour", b"bad\n", age_s=1000)
        with pytest.raises(OSError, match="No space left"):
            (disk / "filler").write_bytes(bytes(1 << 20))
        rig.start()
        rig.idle()
        rig.pass_time(60)
        rig.stop()

        assert rig.tried() == rig.numbers() == [1, 2]
        assert spool.scan(10).finish().oldest == []
        assert list(rig.rejected()) == ["bad.pour"], "what was sent has made room for the reason"
        spool.close()

    def test_one_whose_removal_fails_holds_up_nobody(self, tmp_path: Path) -> None:
        with closing(Stubborn(tmp_path / "stubborn")) as spool:
            rig = Rig(spool)
            for number, name in enumerate(("stubborn", "b", "c"), 1):
                rig.put(f"{name}.pour", line(number), age_s=100 - number)
            rig.start()
            rig.idle()
            rig.pass_time(60)
            (spool.path / "stubborn.pour").open("ab").close()  # announced again, and the same
            rig.idle()
            rig.stop()

            assert rig.tried() == rig.numbers() == [1, 2, 3]
            assert spool.scan(10).finish().oldest == ["stubborn.pour"]


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
        assert rig.spool.scan(10).finish().oldest == ["2.pour"]

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
        assert rig.spool.scan(10).finish().oldest == ["2.pour"]
        assert rig.progress.deferred == rig.progress.rejected == 1

    @pytest.mark.parametrize("verdict", [NO_ROUTE, FORBIDDEN])
    def test_a_server_that_takes_nothing_is_asked_once(self, rig: Rig, verdict: Verdict) -> None:
        rig.answer = always(verdict)
        for number in (1, 2):
            rig.put(f"{number}.pour", line(number), age_s=100 - number)
        rig.uploader.drain()

        assert rig.tried() == [1]
        assert rig.spool.scan(10).finish().oldest == ["1.pour", "2.pour"]

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


def test_a_process_that_dies_at_any_step_leaves_each_record_at_the_server_in_the_spool_or_rejected(
    die_at_every_step: Callable[[str], int],
) -> None:
    steps = die_at_every_step("""
import shutil
from pathlib import Path
from kegnet_client.clock import Clock
from kegnet_client.core.delivery import Disposition, Verdict
from kegnet_client.core.records import Pour
from kegnet_client.rejected import list_rejected
from kegnet_client.progress import Progress
from kegnet_client.spool import Spool, enqueue
from kegnet_client.uploader import Uploader

root = Path(sys.argv[1])
spool = Spool(root / "spool")
good, refused = (Pour(0, number, 0, 1_800_000_000_000) for number in (1, 2))
log = root / "server"

class Server:
    max_records = max_connections = 1

    def send(self, records):
        if records == [refused]:
            return [Verdict(Disposition.REJECTED, "refused")]
        with log.open("a") as server:  # the server stores it, and then the answer is on its way
            server.write(f"{records[0].pulses}\\n")
        return [Verdict(Disposition.ACCEPTED, "taken")]

    def close(self):
        pass

def prepare():
    log.write_text("")
    for path in spool.path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (spool.path / "bad.pour").write_bytes(b"bad\\n")
    (spool.path / "foreign").write_bytes(b"foreign")
    for record in (good, refused):
        enqueue(spool.path, record)

def work():
    Uploader(spool, Server, Clock(), lambda: 0.0, Progress()).drain()

def check(died):
    stored = log.read_text().split()
    waiting = {spool.read(name).data[:3] for name in spool.scan(10).finish().oldest}
    rejected = {(spool.path / "rejected" / one.name).read_bytes()[:3] for one in list_rejected(spool.path)}
    assert (b"bad" in waiting) != (b"bad" in rejected)
    assert (b"0,2" in waiting) != (b"0,2" in rejected)
    assert b"0,1" in waiting or stored == ["1"]
    assert died or not waiting
    work()
    assert spool.scan(10).finish().oldest == []
    assert {*log.read_text().split()} == {"1"}
    kept = list_rejected(spool.path)
    assert len(kept) == 2
    assert all(one.reason != "no reason is kept" for one in kept)
    assert (spool.path / "foreign").read_bytes() == b"foreign"

import warnings
warnings.simplefilter("ignore")
die_at_every_step(prepare, work, check)
""")

    assert steps > 40


class Delivery(RuleBasedStateMachine):
    """Producers, other people's files, a server with moods, a person who retries, and one drain after the other.

    Every valid record ends as exactly one at the server, or stands in the spool, or in ``rejected/`` with its
    reason; nothing else is touched.
    """

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.spool = Spool(self.directory)
        self.spool.lock()
        self.clock = FakeClock()
        self.produced: dict[bytes, str] = {}
        self.malformed: set[bytes] = set()
        self.foreign: dict[str, bytes] = {}
        self.stored: Counter[Record] = Counter()
        self.resent: set[Record] = set()
        self.numbers = itertools.count(1)

    def put(self, name: str, data: bytes) -> None:
        (self.directory / ".temp").write_bytes(data)
        (self.directory / ".temp").rename(self.directory / name)

    @rule(newline=st.booleans(), reading=st.booleans())
    def produce(self, newline: bool, reading: bool) -> None:
        number = next(self.numbers)
        data = b"28-0316a2795c5b,%d,%d" % (number, NOW_MS) if reading else b"0,%d,0,%d" % (number, NOW_MS)
        name = f"{number}.{'reading' if reading else 'pour'}"
        self.produced[data] = name
        self.put(name, data + b"\n" * newline)

    @rule(name=st.sampled_from(["a.pour", "b.pour", "c.reading"]))
    def produce_nonsense(self, name: str) -> None:
        if not self.spool.has(name):
            data = b"nonsense %d" % next(self.numbers)
            self.malformed.add(data)
            self.put(name, data)

    @rule(name=st.sampled_from(["README", ".x.pour", "x.pour.tmp", "x.txt"]))
    def leave_something_else(self, name: str) -> None:
        self.foreign[name] = b"foreign %d" % next(self.numbers)
        self.put(name, self.foreign[name])

    @rule(moods=st.lists(st.sampled_from(["takes", "answer lost", "away", "broken", "refuses", "forbids"]), max_size=6))
    def drain(self, moods: list[str]) -> None:
        self.clock.now_s += 60
        Uploader(self.spool, lambda: OneByOne(self.answer(moods)), self.clock, lambda: 0.5, Progress()).drain()

    def answer(self, moods: list[str]) -> Answer:
        def send(record: Record | Heartbeat) -> Verdict:
            assert not isinstance(record, Heartbeat)
            mood = moods.pop() if moods else "takes"
            if mood in ("takes", "answer lost"):
                assert not self.stored[record] or record in self.resent, "sent again without a need"
                self.stored[record] = 1  # a server stores one identity once
            if mood == "answer lost":
                self.resent.add(record)
            return {
                "takes": ACCEPTED,
                "answer lost": NO_ROUTE,
                "away": NO_ROUTE,
                "broken": BROKEN,
                "refuses": REFUSED,
                "forbids": FORBIDDEN,
            }[mood]

        return send

    @precondition(lambda self: bool(list_rejected(self.directory)))
    @rule(choice=st.integers(min_value=0))
    def put_back(self, choice: int) -> None:
        rejected = list_rejected(self.directory)
        retry(self.directory, rejected[choice % len(rejected)].name)

    def standing(self) -> Counter[bytes]:
        """What stands in the spool or, with a reason, in ``rejected/``."""
        waiting = [self.spool.read(name).data for name in self.spool.scan(10_000).finish().oldest]
        kept = list_rejected(self.directory)
        assert all(one.reason != "no reason is kept" for one in kept)
        return Counter(
            data.rstrip(b"\n")
            for data in [*waiting, *((self.directory / "rejected" / one.name).read_bytes() for one in kept)]
        )

    @invariant()
    def nothing_is_lost_and_nothing_is_touched(self) -> None:
        standing = self.standing()
        for data, name in self.produced.items():
            record = parse(name, data)
            there = standing.pop(data, 0)
            assert there + self.stored[record] == 1 or (there == 1 and record in self.resent), data
        assert standing == Counter(self.malformed)
        assert all((self.directory / name).read_bytes() == data for name, data in self.foreign.items())

    def teardown(self) -> None:
        for one in list_rejected(self.directory):
            if (self.directory / "rejected" / one.name).read_bytes().rstrip(b"\n") in self.produced:
                retry(self.directory, one.name)
        Uploader(self.spool, lambda: OneByOne(self.answer([])), self.clock, lambda: 0.5, Progress()).drain()
        assert self.stored == Counter({parse(name, data): 1 for data, name in self.produced.items()})
        assert self.standing() == Counter(self.malformed)
        self.spool.close()
        shutil.rmtree(self.directory)


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
