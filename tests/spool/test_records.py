"""The directory that is the queue."""

import errno
import os
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.errors import RecordError, SpoolError
from kegnet_client.core.records import Record, format_record, is_record_name, parse
from kegnet_client.spool.directory import Spool, StuckFileError, count_waiting, enqueue, explain, printable
from kegnet_client.spool.scan import Scanner

from ..support.spool_files import LINE, POUR, READING, names, put, unprivileged


class TestEnqueue:
    @pytest.mark.parametrize("record", [POUR, READING])
    def test_a_record_that_was_put_in_is_found_whole_and_alone(self, spool: Spool, record: Record) -> None:
        name = enqueue(spool.path, record)

        assert names(spool) == [name]
        assert is_record_name(name)
        assert Scanner(spool.fd, 10).finish().oldest == [name]
        assert spool.read(name).record() == record
        assert spool.read(name).data.endswith(b"\n")

    def test_the_group_of_the_spool_can_read_it_and_nobody_else(self, spool: Spool) -> None:
        assert (spool.path / enqueue(spool.path, POUR)).stat().st_mode & 0o7777 == 0o640

    def test_two_records_alike_are_two_files(self, spool: Spool) -> None:
        assert enqueue(spool.path, POUR) != enqueue(spool.path, POUR)
        assert count_waiting(spool.path) == 2

    def test_without_a_spool_it_says_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SpoolError, match=r"missing: No such file or directory; make it, or fix \[Spool\]"):
            enqueue(tmp_path / "missing", POUR)
        with pytest.raises(SpoolError, match=r"file: Not a directory; fix \[Spool\] directory"):
            enqueue(tmp_path / "file", POUR)

    def test_a_spool_that_it_may_not_write_to_says_what_to_do(self, spool: Spool) -> None:
        path = Path(f"/proc/self/fd/{spool.fd}")  # past the parents, which are this user's own
        spool.path.chmod(0o555)
        with unprivileged(), pytest.raises(SpoolError, match="Permission denied; give this user access"):
            enqueue(path, POUR)
        spool.path.chmod(0o755)
        assert names(spool) == []

    def test_a_nearly_full_disk_takes_pours_and_no_readings(self, mount_tmpfs: Callable[[str], Path]) -> None:
        disk = mount_tmpfs("size=400k")
        (disk / "filler").write_bytes(bytes(390 * 1024))

        with pytest.raises(SpoolError, match="less than 5% of the disk is free, which is kept for pours; make room"):
            enqueue(disk, READING)
        assert count_waiting(disk) == 0
        enqueue(disk, POUR)
        assert count_waiting(disk) == 1

        os.truncate(disk / "filler", 370 * 1024)
        enqueue(disk, READING)
        assert count_waiting(disk) == 2

    def test_a_full_disk_refuses_clearly_and_nothing_half_written_stays(
        self, mount_tmpfs: Callable[[str], Path]
    ) -> None:
        disk = mount_tmpfs("size=64k")
        (disk / "filler").write_bytes(bytes(64 * 1024))

        with pytest.raises(SpoolError, match="No space left on device; make room on the disk"):
            enqueue(disk, POUR)
        with pytest.raises(SpoolError, match="make room"):
            enqueue(disk, READING)
        assert [path.name for path in disk.iterdir()] == ["filler"]

    def test_a_read_only_disk_refuses_clearly(self, mount_tmpfs: Callable[[str], Path]) -> None:
        disk = mount_tmpfs("size=64k")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

        with pytest.raises(SpoolError, match="Read-only file system; make the file system writable again"):
            enqueue(disk, POUR)

    def test_a_producer_that_dies_at_any_step_leaves_a_whole_record_or_none(
        self, die_at_every_step: Callable[[str], int]
    ) -> None:
        die_at_every_step("""
from pathlib import Path
from kegnet_client.core.records import Pour
from kegnet_client.spool.directory import Spool, count_waiting, enqueue
from kegnet_client.spool.scan import Scanner

spool = Spool(Path(sys.argv[1]))
pour = Pour(0, 2, 3000, 1_800_000_000_000)

def prepare():
    for path in spool.path.iterdir():
        path.unlink()

def check(died):
    found = Scanner(spool.fd, 10).finish().oldest
    assert len(found) <= 1, found
    assert died or found
    assert all(spool.read(name).record() == pour for name in found)

die_at_every_step(prepare, lambda: enqueue(spool.path, pour), check)
""")


class TestScan:
    def test_the_oldest_comes_first_and_no_more_than_asked_for(self, spool: Spool) -> None:
        for age in range(3000):
            put(spool, f"{age:04}.pour", mtime_s=1e9 - age)
        scan = Scanner(spool.fd, 100).finish()

        assert scan.oldest == [f"{age:04}.pour" for age in range(2999, 2899, -1)]
        assert (scan.more, scan.stuck) == (2900, {})
        assert Scanner(spool.fd, 3000).finish().more == 0

    def test_what_is_skipped_takes_no_place(self, spool: Spool) -> None:
        for age in range(3):
            put(spool, f"{age}.pour", mtime_s=1e9 - age)

        assert Scanner(spool.fd, 1, {"2.pour"}).finish().oldest == ["1.pour"]
        assert Scanner(spool.fd, 1, {"2.pour"}).finish().more == 1

    def test_files_that_are_not_ours_are_not_seen(self, spool: Spool) -> None:
        for name in ("README", "a.pour.tmp", ".a.pour", "a.pour~", "a.POUR", "pour"):
            put(spool, name)
        (spool.path / "rejected").mkdir()

        assert (Scanner(spool.fd, 10).finish().oldest, Scanner(spool.fd, 10).finish().stuck) == ([], {})
        assert count_waiting(spool.path) == 0

    @pytest.mark.parametrize("name", [b"\xff\xfe.pour", b"a\nb.pour", b"\x1b[2J.pour", "tap \u202e.pour".encode()])
    def test_every_name_is_found_read_and_removed(self, spool: Spool, name: bytes) -> None:
        put(spool, os.fsdecode(name))
        [found] = Scanner(spool.fd, 10).finish().oldest

        assert os.fsencode(found) == name
        file = spool.read(found)
        assert file.record() == POUR
        assert spool.remove(file)
        assert names(spool) == []

    def test_a_spool_that_cannot_be_read_is_not_called_empty(self, tmp_path: Path) -> None:
        with pytest.raises(SpoolError, match="No such file or directory"):
            count_waiting(tmp_path / "missing")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/cwd/{path.name}")


def make_link(path: Path) -> None:
    path.symlink_to("whole")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_directory(path: Path) -> None:
    path.mkdir()


class TestRead:
    @pytest.mark.parametrize("make", [make_fifo, make_socket, make_link, make_dangling_link, make_directory])
    def test_what_is_not_a_regular_file_is_refused_without_blocking_or_following(
        self, spool: Spool, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(spool.path)  # the path of a socket is short
        put(spool, "whole")
        make(spool.path / "x.pour")

        assert list(Scanner(spool.fd, 10).finish().stuck) == ["x.pour"]
        assert Scanner(spool.fd, 10).finish().oldest == []
        started_s = time.monotonic()
        with pytest.raises(StuckFileError, match="not a regular file; a record is one, so remove it or rename it"):
            spool.read("x.pour")
        assert time.monotonic() - started_s < 1
        assert names(spool) == ["whole", "x.pour"]

    def test_what_somebody_writes_into_a_pipe_is_left_in_it(self, spool: Spool) -> None:
        os.mkfifo(spool.path / "x.pour")
        pipe = os.open(spool.path / "x.pour", os.O_RDWR | os.O_NONBLOCK)
        os.write(pipe, LINE)

        with pytest.raises(StuckFileError, match="not a regular file"):
            spool.read("x.pour")
        assert os.read(pipe, 100) == LINE
        os.close(pipe)

    def test_a_device_without_an_end_is_no_file(self, spool: Spool) -> None:
        if os.geteuid() != 0:
            pytest.skip("takes root: it makes a device")
        os.mknod(spool.path / "x.pour", stat.S_IFCHR | 0o644, os.makedev(1, 5))  # as /dev/zero

        with pytest.raises(StuckFileError, match="not a regular file"):
            spool.read("x.pour")

    def test_a_file_that_it_may_not_read_says_what_to_do(self, spool: Spool) -> None:
        spool.path.chmod(0o755)
        put(spool, "x.pour").chmod(0o200)

        with unprivileged(), pytest.raises(StuckFileError, match=r"give it to the group .*\(chmod g\+r\)"):
            spool.read("x.pour")

    def test_a_file_that_is_gone_is_told_apart(self, spool: Spool) -> None:
        with pytest.raises(FileNotFoundError):
            spool.read("x.pour")

    def test_more_than_a_record_can_have_is_not_read(self, spool: Spool) -> None:
        os.truncate(put(spool, "x.pour"), 4097)
        file = spool.read("x.pour")

        assert (file.size, file.data) == (4097, b"")
        with pytest.raises(RecordError, match="the file has 4097 bytes, a record fits in 4096"):
            file.record()

    def test_as_much_as_a_record_can_have_is_read(self, spool: Spool) -> None:
        os.truncate(put(spool, "x.pour"), 4096)

        assert spool.read("x.pour").data == LINE.ljust(4096, b"\0")


class TestRemove:
    def test_what_was_read_is_removed(self, spool: Spool) -> None:
        put(spool, "x.pour")

        assert spool.remove(spool.read("x.pour"))
        assert names(spool) == []

    def test_a_newer_record_under_the_same_name_stays(self, spool: Spool) -> None:
        put(spool, "x.pour", mtime_s=1e9)
        old = spool.read("x.pour")
        (spool.path / "new").write_bytes(LINE.replace(b"2", b"3", 1))
        (spool.path / "new").rename(spool.path / "x.pour")

        assert not spool.holds(old)
        assert not spool.remove(old)
        assert names(spool) == ["x.pour"]

    def test_the_same_record_written_anew_is_the_one_that_was_sent(self, spool: Spool) -> None:
        put(spool, "x.pour")
        sent = spool.read("x.pour")
        put(spool, "new")
        (spool.path / "new").rename(spool.path / "x.pour")

        assert spool.read("x.pour") == sent
        assert spool.remove(sent)
        assert names(spool) == []

    @pytest.mark.parametrize("data", [LINE + LINE, LINE.replace(b"2", b"3", 1)])
    def test_a_record_rewritten_in_place_stays(self, spool: Spool, data: bytes) -> None:
        path = put(spool, "x.pour", mtime_s=1e9)
        old = spool.read("x.pour")
        path.write_bytes(data)

        assert not spool.remove(old)
        assert path.read_bytes() == data

    def test_a_record_that_has_grown_in_place_with_its_time_kept_stays(self, spool: Spool) -> None:
        path = put(spool, "x.pour", mtime_s=1e9)
        old = spool.read("x.pour")
        path.write_bytes(LINE + b"0")
        os.utime(path, (1e9, 1e9))

        assert not spool.holds(old)
        assert not spool.remove(old)
        assert path.read_bytes() == LINE + b"0"

    def test_a_record_rewritten_in_place_with_its_time_kept_stays(self, spool: Spool) -> None:
        path = put(spool, "x.pour", mtime_s=1e9)
        old = spool.read("x.pour")
        other = LINE.replace(b"2", b"3", 1)
        path.write_bytes(other)
        os.utime(path, (1e9, 1e9))
        new = spool.read("x.pour")

        assert not spool.holds(old)
        assert not spool.remove(old)
        assert path.read_bytes() == other
        assert spool.remove(new)

    @pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("elsewhere.pour")])
    def test_what_is_no_file_any_more_stays_and_nothing_is_followed_nor_waited_for(
        self, spool: Spool, make: Callable[[Path], None]
    ) -> None:
        path = put(spool, "x.pour")
        old = spool.read("x.pour")
        path.rename(spool.path / "elsewhere.pour")
        make(path)

        assert not spool.remove(old)
        assert path.lstat()
        assert (spool.path / "elsewhere.pour").read_bytes() == LINE

    def test_what_cannot_be_compared_is_not_removed(self, spool: Spool) -> None:
        path = put(spool, "x.pour")
        old = spool.read("x.pour")
        path.chmod(0)

        with unprivileged(), pytest.raises(PermissionError):
            spool.remove(old)
        assert path.exists()

    def test_what_is_gone_already_is_no_fault(self, spool: Spool) -> None:
        put(spool, "x.pour")
        file = spool.read("x.pour")
        (spool.path / "x.pour").unlink()

        assert not spool.remove(file)
        assert not spool.has("x.pour")


@given(st.binary(min_size=1, max_size=30).filter(lambda name: not {0, 47} & {*name}))
def test_no_name_can_break_a_line_or_an_encoding(name: bytes) -> None:
    text = printable(os.fsdecode(name))

    assert text.isprintable()
    assert text.encode("utf-8")


def test_an_ordinary_name_is_shown_as_it_is() -> None:
    assert printable("Zapfhahn ä-1.pour") == "Zapfhahn ä-1.pour"
    assert printable("a\nb\x1b.pour") == r"a\nb\x1b.pour"
    assert printable(os.fsdecode(b"\xff.pour")) == r"\xff.pour"


def test_an_error_without_a_remedy_is_still_told() -> None:
    assert explain(OSError(errno.EIO, "ignored")) == "Input/output error"
    assert explain(OSError("odd")) == "odd"


def test_what_a_file_holds_is_judged_by_its_name(spool: Spool) -> None:
    put(spool, "x.reading", format_record(READING))
    put(spool, "y.reading", LINE)

    assert spool.read("x.reading").record() == READING == parse("x.reading", format_record(READING))
    with pytest.raises(RecordError):
        spool.read("y.reading").record()
