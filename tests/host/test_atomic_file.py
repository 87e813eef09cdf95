"""A file is whole or absent, whatever happens while it is written."""

import array
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from kegnet_client.host.atomic_file import write_all, write_file

LINE = b"0,1,2,1800000000000\n"

WRITE = """
import os, sys
from kegnet_client.host.atomic_file import write_file
fd = os.open(sys.argv[1], os.O_RDONLY)
try:
    write_file(fd, "x.pour", b"0,1,2,1800000000000\\n", 0o640)
except OSError as error:
    sys.exit(error.errno)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "directory"
    path.mkdir()
    return path


@pytest.fixture
def directory_fd(directory: Path) -> Iterator[int]:
    fd = os.open(directory, os.O_RDONLY)
    yield fd
    os.close(fd)


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def strace(directory: Path, trace: Path, *options: str) -> int:
    """Writes x.pour into ``directory`` in a process of its own, under strace; what that one ended with."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    command = ["strace", "-f", "-y", "-o", str(trace), *options, sys.executable, "-c", WRITE, str(directory)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if "PTRACE" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    return done.returncode


def test_the_file_has_its_bytes_and_the_mode_asked_for_whatever_the_umask(directory: Path, directory_fd: int) -> None:
    umask = os.umask(0o077)
    try:
        write_file(directory_fd, "x.pour", LINE, 0o640)
    finally:
        os.umask(umask)

    assert (directory / "x.pour").read_bytes() == LINE
    assert (directory / "x.pour").stat().st_mode & 0o7777 == 0o640
    assert names(directory) == ["x.pour"]


def test_an_older_file_of_that_name_is_replaced(directory: Path, directory_fd: int) -> None:
    (directory / "x.pour").write_bytes(b"old")
    write_file(directory_fd, "x.pour", LINE, 0o640)

    assert (directory / "x.pour").read_bytes() == LINE


@pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, "a\nb", os.fsdecode(b"\xff")])
def test_every_name_that_the_file_system_takes_can_be_written(directory: Path, directory_fd: int, name: str) -> None:
    write_file(directory_fd, name, LINE, 0o640)

    assert names(directory) == [name]


def test_a_process_that_dies_at_any_step_leaves_what_was_there_or_the_whole_new_file(
    die_at_every_step: Callable[[str], int],
) -> None:
    steps = die_at_every_step("""
from pathlib import Path
from kegnet_client.host.atomic_file import write_file

directory = Path(sys.argv[1])
fd = os.open(directory, os.O_RDONLY)
seen = set()

def prepare():
    (directory / "new").unlink(missing_ok=True)
    (directory / "old").write_bytes(b"old")

def work():
    write_file(fd, "new", b"whole", 0o640)
    write_file(fd, "old", b"whole", 0o640)

def check(died):
    # What died before has left its temporary files; they are in nobody's way.
    visible = {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.startswith(".")}
    assert visible.get("new", b"whole") == b"whole", visible
    assert visible["old"] in (b"old", b"whole"), visible
    if not died:
        assert visible == {"new": b"whole", "old": b"whole"}, visible
    seen.add((visible.get("new"), visible["old"]))

die_at_every_step(prepare, work, check)
assert seen == {(None, b"old"), (b"whole", b"old"), (b"whole", b"whole")}, seen
""")

    assert steps > 12


def test_the_bytes_are_on_disk_before_the_name_and_the_name_before_it_returns(directory: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert strace(directory, trace, "-e", "trace=write,fsync,fdatasync,/^rename") == 0

    root = re.escape(str(directory))
    steps = re.findall(rf"(write|fsync|rename\w*)\(\d*<?{root}(?:/(\S+?))?>", trace.read_text())
    assert [(name[:6], bool(path)) for name, path in steps] == [
        ("write", True),
        ("fsync", True),
        ("rename", False),
        ("fsync", False),
    ]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        ("fchmod:error=EROFS", 30),
        ("write:error=ENOSPC", 28),
        ("fsync:error=EIO:when=1", 5),
        ("/^rename:error=EROFS", 30),
    ],
)
def test_a_step_that_fails_is_told_and_leaves_nothing_behind(
    directory: Path, tmp_path: Path, failure: str, code: int
) -> None:
    assert strace(directory, tmp_path / "trace", "-e", f"inject={failure}") == code
    assert names(directory) == []


def test_a_write_that_takes_less_is_continued() -> None:
    reader, writer = os.pipe()
    data = os.urandom(300_000)
    capacity = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    received = bytearray()
    main = threading.get_ident()

    def interrupt_and_read() -> None:
        queued = array.array("i", [0])
        while queued[0] < capacity:
            fcntl.ioctl(reader, termios.FIONREAD, queued)
        signal.pthread_kill(main, signal.SIGUSR1)  # the write that is under way returns with what it has done
        interrupted.wait(10)
        while chunk := os.read(reader, 65536):
            received.extend(chunk)

    interrupted = threading.Event()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        interrupted.set()

    before = signal.signal(signal.SIGUSR1, on_signal)
    thread = threading.Thread(target=interrupt_and_read)
    thread.start()
    try:
        write_all(writer, data)
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(writer)
        thread.join(10)
        os.close(reader)
    assert bytes(received) == data
