"""Records leave the spool only here, and what cannot be done now is done later."""

import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import kegnet_client.spool.removal
from kegnet_client.host.clock import Clock
from kegnet_client.spool.directory import Spool, SpoolFile
from kegnet_client.spool.rejected import list_rejected
from kegnet_client.spool.removal import SpoolRemoval
from kegnet_client.spool.scan import Scanner


class StubbornSpool(Spool):
    """Does not let go of the files named in ``stubborn``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.stubborn: set[str] = set()

    def remove(self, file: SpoolFile) -> bool:
        if file.name in self.stubborn:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return super().remove(file)


class SharedSpool(Spool):
    """Somebody else clears it away, and always right after the last look at a file."""

    looks_left = 1

    def holds(self, file: SpoolFile) -> bool:
        held = super().holds(file)
        self.looks_left -= 1
        if held and not self.looks_left:
            (self.path / file.name).unlink()
        return held


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[StubbornSpool]:
    spool = StubbornSpool(tmp_path / "stubborn")
    yield spool
    spool.close()


def put(spool: Spool, name: str, data: bytes = b"data") -> SpoolFile:
    (spool.path / name).write_bytes(data)
    return spool.read(name)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def test_what_the_server_has_is_removed_and_what_it_refuses_is_kept_aside(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    removal = SpoolRemoval(spool, Clock())
    removal.remove(put(spool, "good.pour"))
    removal.reject(put(spool, "bad.pour"), "no pour")

    assert lines(caplog) == [(logging.WARNING, "rejected bad.pour: no pour; it is kept in rejected/")]
    assert Scanner(spool.fd, 10).finish().oldest == []
    [one] = list_rejected(spool.path)
    assert (one.name, one.reason.split(" ", 1)[1]) == ("bad.pour", "no pour")
    assert (removal.pending(), removal.problem) == (set(), None)


def test_on_a_read_only_disk_decisions_wait_with_one_error_line_and_are_carried_out_later(
    mount_tmpfs: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    disk = mount_tmpfs("size=256k")
    spool = Spool(disk / "spool")
    removal = SpoolRemoval(spool, Clock())
    accepted = [put(spool, f"{number}.pour") for number in range(3)]
    refused = put(spool, "refused.pour")

    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for file in accepted:
        removal.remove(file)
    removal.reject(refused, "no pour")
    for _ in range(3):
        removal.retry()

    assert all(removal.is_decided(file) for file in (*accepted, refused))
    assert removal.pending() == {"0.pour", "1.pour", "2.pour", "refused.pour"}
    assert removal.problem is not None
    assert "Read-only file system; make the file system writable again" in removal.problem
    assert (logging.WARNING, "rejected refused.pour: no pour; it stays in the spool until it can be moved") in lines(
        caplog
    )
    errors = [message for level, message in lines(caplog) if level == logging.ERROR]
    assert errors == [
        f"{spool.path} cannot be changed: Read-only file system; make the file system writable again "
        "(mount -o remount,rw); what is decided stays in the spool and is not sent again until a restart"
    ]

    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    removal.retry()

    assert not removal.pending()
    assert Scanner(spool.fd, 10).finish().oldest == []
    assert [one.name for one in list_rejected(spool.path)] == ["refused.pour"]
    assert lines(caplog)[-1] == (logging.WARNING, "the spool can be changed again")
    removal.retry()
    assert lines(caplog)[-2] != lines(caplog)[-1], "told once"
    assert not removal.problem
    spool.close()


def test_what_is_rewritten_with_its_time_kept_before_it_can_be_removed_is_another_and_stays(
    stubborn: StubbornSpool,
) -> None:
    removal = SpoolRemoval(stubborn, Clock())
    sent = put(stubborn, "x.pour", b"sent")
    stubborn.stubborn.add("x.pour")
    removal.remove(sent)
    changed_ns = (stubborn.path / "x.pour").stat().st_mtime_ns
    put(stubborn, "x.pour", b"next")
    os.utime(stubborn.path / "x.pour", ns=(changed_ns, changed_ns))
    newer = stubborn.read("x.pour")
    assert newer == sent._replace(data=b"next"), "only its bytes differ"

    assert removal.is_decided(sent)
    assert not removal.is_decided(newer)
    stubborn.stubborn.clear()
    removal.retry()
    assert (stubborn.path / "x.pour").read_bytes() == b"next"
    assert not removal.pending()


def test_what_could_not_be_removed_waits_without_its_bytes(spool: Spool) -> None:
    file = put(spool, "x.pour", bytes(4096))

    assert file.condensed().data == b""
    assert spool.remove(file.condensed())


def test_one_file_that_cannot_be_taken_out_does_not_hold_up_the_others(stubborn: StubbornSpool) -> None:
    removal = SpoolRemoval(stubborn, Clock())
    stubborn.stubborn = {"a.pour", "b.pour"}
    for name in ("a.pour", "b.pour"):
        removal.remove(put(stubborn, name))
    stubborn.stubborn = {"a.pour"}
    removal.retry()

    assert removal.pending() == {"a.pour"}
    assert removal.problem is not None


def test_what_cannot_be_done_at_all_stands_in_nobodys_way_and_is_not_tried_at_once_again(
    stubborn: StubbornSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kegnet_client.spool.removal, "RETRY_S", 0.0)  # one at a time
    removal = SpoolRemoval(stubborn, Clock())
    stubborn.stubborn = {"a.pour", "b.pour", "c.pour"}
    for name in sorted(stubborn.stubborn):
        removal.remove(put(stubborn, name))
    stubborn.stubborn = {"a.pour"}

    assert [removal.retry() for _ in range(4)] == [False, True, True, False]
    assert removal.pending() == {"a.pour"}


def test_a_newer_record_under_the_name_of_a_decided_one_is_not_decided(stubborn: StubbornSpool) -> None:
    removal = SpoolRemoval(stubborn, Clock())
    stubborn.stubborn = {"x.pour"}
    old = put(stubborn, "x.pour", b"old")
    removal.remove(old)
    assert removal.is_decided(old)
    new = put(stubborn, "x.pour", b"newer")

    assert not removal.is_decided(new)
    stubborn.stubborn = set()
    removal.retry()
    assert stubborn.read("x.pour").data == b"newer"
    assert removal.pending() == set()


def test_a_record_written_in_place_of_a_decided_one_with_its_time_kept_is_not_decided(stubborn: StubbornSpool) -> None:
    removal = SpoolRemoval(stubborn, Clock())
    stubborn.stubborn = {"x.pour"}
    old = put(stubborn, "x.pour", b"old")
    removal.remove(old)
    path = stubborn.path / "x.pour"
    changed_ns = path.stat().st_mtime_ns
    path.write_bytes(b"new")
    os.utime(path, ns=(changed_ns, changed_ns))

    assert not removal.is_decided(stubborn.read("x.pour"))
    stubborn.stubborn = set()
    removal.retry()
    assert path.read_bytes() == b"new"
    assert removal.pending() == set()


def test_a_newer_record_that_is_taken_out_leaves_nothing_to_be_done_for_the_decided_one(
    stubborn: StubbornSpool,
) -> None:
    removal = SpoolRemoval(stubborn, Clock())
    stubborn.stubborn = {"x.pour"}
    removal.remove(put(stubborn, "x.pour", b"old"))
    stubborn.stubborn = set()
    removal.remove(put(stubborn, "x.pour", b"newer"))

    assert removal.pending() == set()


def test_another_spool_starts_without_decisions(stubborn: StubbornSpool) -> None:
    removal = SpoolRemoval(stubborn, Clock())
    stubborn.stubborn = {"x.pour"}
    file = put(stubborn, "x.pour")
    removal.remove(file)
    removal.clear()

    assert not removal.is_decided(file)
    assert (removal.pending(), removal.problem) == (set(), None)


@pytest.mark.parametrize("name", [b"a\nb.pour", b"\x1b[2J\r.pour", b"\xff.pour"])
def test_no_name_can_break_a_log_line_or_a_field_of_it(
    spool: Spool, caplog: pytest.LogCaptureFixture, name: bytes
) -> None:
    SpoolRemoval(spool, Clock()).reject(put(spool, os.fsdecode(name)), "no pour")

    [record] = caplog.records
    assert record.getMessage().isprintable()
    assert record.__dict__["KEGNET_FILE"].isprintable()
    assert record.getMessage().encode()


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: path.symlink_to("elsewhere")])
def test_what_stands_where_rejected_records_go_is_named_and_not_the_configuration(
    spool: Spool, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    make(spool.path / "rejected")
    removal = SpoolRemoval(spool, Clock())
    removal.reject(put(spool, "bad.pour"), "no pour")

    assert "rejected cannot be changed: Not a directory; move away what stands there" in str(removal.problem)
    assert "client.conf" not in caplog.text
    (spool.path / "rejected").unlink()
    removal.retry()
    assert [one.name for one in list_rejected(spool.path)] == ["bad.pour"]
    assert removal.problem is None


def test_rejected_records_that_would_have_to_leave_the_file_system_stay_and_it_says_what_to_do(
    mount_tmpfs: Callable[[str], Path], spool: Spool
) -> None:
    disk = mount_tmpfs("size=64k")
    (spool.path / "rejected").mkdir()
    subprocess.run(["mount", "--bind", disk, spool.path / "rejected"], check=True)
    removal = SpoolRemoval(spool, Clock())
    try:
        removal.reject(put(spool, "bad.pour"), "no pour")
        assert "unmount what is mounted there" in str(removal.problem)
        assert (spool.path / "bad.pour").exists()
    finally:
        subprocess.run(["umount", spool.path / "rejected"], check=True)
    removal.retry()
    assert [one.name for one in list_rejected(spool.path)] == ["bad.pour"]


@pytest.mark.case(69)
@pytest.mark.parametrize("reason", [None, "no pour"], ids=["acknowledged", "rejected"])
def test_a_file_that_somebody_removes_in_the_last_moment_is_gone_and_the_spool_is_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reason: str | None
) -> None:
    spool = SharedSpool(tmp_path / "shared")
    removal = SpoolRemoval(spool, Clock())
    file = put(spool, "a.pour")
    if reason is None:
        removal.remove(file)
    else:
        spool.looks_left = 2
        assert not removal.reject(file, reason)
    assert list(spool.path.rglob("*.*")) == []
    assert (lines(caplog), removal.pending(), removal.problem) == ([], set(), None)
    spool.close()


def test_where_the_directory_for_what_is_rejected_goes_in_the_last_moment_the_record_stays(tmp_path: Path) -> None:
    class Clearing(Spool):
        looks = 0

        def holds(self, file: SpoolFile) -> bool:
            self.looks += 1
            if self.looks == 2:
                shutil.rmtree(self.path / "rejected")
            return super().holds(file)

    spool = Clearing(tmp_path / "clearing")
    removal = SpoolRemoval(spool, Clock())
    removal.reject(put(spool, "a.pour"), "no pour")
    assert (removal.pending(), (spool.path / "a.pour").exists()) == ({"a.pour"}, True)
    removal.retry()
    assert [one.name for one in list_rejected(spool.path)] == ["a.pour"]
    assert removal.problem is None
    spool.close()


@pytest.mark.case(12)
def test_what_is_decided_while_an_older_decision_of_that_name_is_tried_again_is_remembered(
    stubborn: StubbornSpool,
) -> None:
    taken: list[SpoolFile] = []

    def take_out(files: Sequence[SpoolFile]) -> list[bool | OSError]:
        taken.extend(files)
        if len(taken) == 2:  # the first one's second time: a worker is done with the one that stands there by now
            removal.remove(second)
        return [OSError(errno.EROFS, os.strerror(errno.EROFS)) for _ in files]

    removal = SpoolRemoval(stubborn, Clock(), take_out)
    removal.remove(put(stubborn, "same.pour", b"first"))
    second = put(stubborn, "same.pour", b"second")
    removal.retry()
    assert len(taken) == 3
    assert removal.is_decided(second), "else it would be sent again"


@pytest.mark.case(12)
def test_a_decision_is_known_at_every_moment_while_it_is_tried_again(stubborn: StubbornSpool) -> None:
    file = put(stubborn, "stays.pour")
    stubborn.stubborn = {"stays.pour"}
    removal = SpoolRemoval(stubborn, Clock())
    removal.remove(file)
    is_over = threading.Event()
    unknown: list[bool] = []

    def look() -> None:
        while not is_over.is_set():
            if not removal.is_decided(file):
                unknown.append(True)
                return

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(5_000):
            removal.retry()
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(interval_s)
    assert not unknown
