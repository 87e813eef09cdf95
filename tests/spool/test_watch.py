"""What inotify says, and that its silence is noticed."""

import contextlib
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kegnet_client.spool.watch import Events, Watcher

from ..support.descriptors import open_descriptors

TIMEOUT_S = 10.0
SETTINGS = Path("/proc/sys/fs/inotify")

Opener = Callable[[Path], int]


@pytest.fixture
def open_directory() -> Iterator[Opener]:
    descriptors: list[int] = []

    def open_it(path: Path) -> int:
        path.mkdir(exist_ok=True)
        descriptors.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY))
        return descriptors[-1]

    yield open_it
    for fd in descriptors:
        os.close(fd)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def watcher(directory: Path, open_directory: Opener) -> Iterator[Watcher]:
    """Watches `directory`."""
    watcher = Watcher()
    watcher.watch(open_directory(directory))
    assert watcher.problem is None
    yield watcher
    watcher.close()


@contextmanager
def lowered(setting: str, value: int) -> Iterator[None]:
    """A limit of the kernel's inotify, for a moment."""
    path = SETTINGS / setting
    before = path.read_text()
    try:
        path.write_text(str(value))
    except OSError as error:
        pytest.skip(f"takes root: {error}")
    try:
        yield
    finally:
        path.write_text(before)


def test_a_file_written_in_place_is_announced_when_it_is_closed_and_not_before(
    watcher: Watcher, directory: Path
) -> None:
    with (directory / "x.pour").open("wb") as writer:
        writer.write(b"0,1")
        writer.flush()
        assert watcher.wait(0) == Events()
        writer.write(b",2,3\n")

    assert watcher.wait(TIMEOUT_S) == Events(["x.pour"])


def test_what_is_renamed_into_place_is_announced_in_order(watcher: Watcher, directory: Path, tmp_path: Path) -> None:
    for name in ("b.pour", "a.pour", "a\nb.pour", "ä.pour"):
        (tmp_path / "temp").touch()
        (tmp_path / "temp").rename(directory / name)

    assert watcher.wait(TIMEOUT_S).completed == ["b.pour", "a.pour", "a\nb.pour", "ä.pour"]
    assert watcher.wait(0) == Events()


def test_without_events_the_wait_ends_by_itself(watcher: Watcher) -> None:
    started_s = time.monotonic()
    assert watcher.wait(0.05) == Events()
    assert time.monotonic() - started_s >= 0.05


def test_another_thread_can_end_the_wait_also_before_it_began(watcher: Watcher) -> None:
    watcher.wake()
    watcher.wake()
    started_s = time.monotonic()
    assert watcher.wait(TIMEOUT_S) == Events()
    thread = threading.Timer(0.01, watcher.wake)
    thread.start()
    assert watcher.wait(TIMEOUT_S) == Events()
    thread.join()
    assert time.monotonic() - started_s < TIMEOUT_S / 2


@pytest.mark.alone
def test_an_overflow_asks_for_a_scan(directory: Path, open_directory: Opener) -> None:
    watcher = Watcher()
    with lowered("max_queued_events", 4):
        watcher.watch(open_directory(directory))
    for number in range(20):
        (directory / f"{number}.pour").touch()
    events = watcher.wait(TIMEOUT_S)
    watcher.close()

    assert events.scan
    assert len(events.completed) < 20


def test_a_name_that_is_not_utf8_asks_for_a_scan_and_does_not_end_the_watch(watcher: Watcher, directory: Path) -> None:
    for name in ("before.pour", os.fsdecode(b"\xff.pour"), "after.pour"):
        (directory / name).touch()

    assert watcher.wait(TIMEOUT_S).scan
    (directory / "later.pour").touch()
    assert watcher.wait(TIMEOUT_S) == Events(["later.pour"])


def test_a_directory_that_is_moved_away_asks_to_be_opened_anew(watcher: Watcher, directory: Path) -> None:
    directory.rename(directory.with_name("moved"))

    assert watcher.wait(TIMEOUT_S).reopen


def test_a_directory_that_is_deleted_asks_to_be_opened_anew_once_nobody_holds_it(directory: Path) -> None:
    directory.mkdir()
    watcher = Watcher()
    fd = os.open(directory, os.O_RDONLY)
    watcher.watch(fd)
    os.close(fd)
    directory.rmdir()
    events = watcher.wait(TIMEOUT_S)
    watcher.close()

    assert events.reopen


def test_the_directory_watched_last_is_the_only_one(
    watcher: Watcher, directory: Path, open_directory: Opener, tmp_path: Path
) -> None:
    watcher.watch(open_directory(tmp_path / "other"))
    (directory / "old.pour").touch()
    (tmp_path / "other" / "new.pour").touch()

    assert watcher.wait(TIMEOUT_S) == Events(["new.pour"])


def test_it_follows_the_open_directory_and_not_its_path(
    watcher: Watcher, directory: Path, open_directory: Opener
) -> None:
    moved = directory.with_name("moved")
    fd = open_directory(directory)
    directory.rename(moved)
    directory.mkdir()
    watcher.watch(fd)
    (directory / "other.pour").touch()
    (moved / "x.pour").touch()

    assert watcher.wait(TIMEOUT_S) == Events(["x.pour"])


def test_without_an_inotify_instance_the_problem_is_told_and_waiting_goes_on(
    watcher: Watcher, directory: Path, open_directory: Opener
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fd = open_directory(directory)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        watcher.watch(fd)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert watcher.problem is not None
    assert watcher.problem.startswith("inotify is not to be had: ")
    assert "Too many open files" in watcher.problem
    assert watcher.wait(0.01) == Events()
    watcher.watch(fd)
    assert watcher.problem is None


def test_without_a_watch_the_problem_is_told_and_waiting_goes_on(watcher: Watcher, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    watcher.watch(fd)
    os.close(fd)

    assert watcher.problem is not None
    assert watcher.problem.startswith("no inotify watch is to be had: ")
    assert watcher.wait(0.01) == Events()
    watcher.wake()
    assert watcher.wait(TIMEOUT_S) == Events()


def test_no_descriptor_is_lost_in_many_new_watches(directory: Path, open_directory: Opener, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fd, file = open_directory(directory), os.open(tmp_path / "file", os.O_RDONLY)
    before = open_descriptors()
    watcher = Watcher()
    for _ in range(10):
        watcher.watch(fd)
        watcher.watch(file)
    watcher.watch(fd)
    watcher.close()
    os.close(file)

    assert open_descriptors() < before


def test_a_wake_after_the_end_reaches_nobody_else() -> None:
    watcher = Watcher()
    watcher.close()
    others = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(10)]
    watcher.wake()

    for fd in others:
        with contextlib.suppress(BlockingIOError):
            pytest.fail(f"woke another one: {os.eventfd_read(fd)}")
        os.close(fd)
