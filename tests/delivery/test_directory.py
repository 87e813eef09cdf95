"""Whatever becomes of the directory, of its names and of inotify, every record in it is found."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from kegnet_client.core.errors import SpoolInUseError
from kegnet_client.spool.directory import Spool

from .rig import ACCEPTED, BROKEN, SLOW_PREFIX, Gate, Rig, Stubborn, line, messages, script


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
        for number, what in enumerate(("is tried again later", "delivered", "rejected", "stays")):
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

    def test_what_waits_in_a_spool_that_is_moved_away_is_told_with_where_it_is(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        moved = rig.spool.path.with_name("moved")
        rig.answer = script(BROKEN)
        rig.put("x.pour", line(1))
        rig.start()
        rig.wait_for_tries(1)
        rig.look()
        rig.spool.path.rename(moved)
        rig.look()

        told = f"1 waiting in {moved}, from where nothing is delivered any more: move them over"
        assert [text for text in messages(caplog) if "waiting" in text] == [told]

    def test_what_could_not_be_taken_from_a_spool_that_is_moved_away_is_not_told_of_the_new_one(self, rig: Rig) -> None:
        (rig.spool.path / "directory.pour").mkdir()
        rig.start()
        rig.idle()
        assert set(rig.progress.stuck) == {"directory.pour"}
        rig.spool.path.rename(rig.spool.path.with_name("moved"))
        rig.idle()

        assert rig.progress.stuck == {}

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
