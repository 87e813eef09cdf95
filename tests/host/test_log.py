"""Where log lines go, seen from the other end: a terminal, a syslog socket, the journal's socket, a pipe."""

import os
import pty
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

WAIT_S = 20.0

PROGRAM = """
import logging, os, sys
from pathlib import Path
from kegnet_client.host import log

log.set_up(os.environ, Path(sys.argv[1]))
for line in sys.stdin:
    logging.getLogger("kegnet_client.delivery.uploader").warning("%s", line.strip(), extra={"KEGNET_FILE": "a.pour"})
    print(flush=True)
"""


class Logger:
    """A process that logs what it is told to."""

    def __init__(self, syslog: Path, stderr: int, before: tuple[str, ...] = (), **environ: str) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", PROGRAM, str(syslog)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={"PATH": os.environ["PATH"], **environ},
        )

    def log(self, line: str) -> None:
        """Returns when it has been logged."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "\n", "it ended"

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.wait(WAIT_S)


def listen(path: Path) -> socket.socket:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    receiver.settimeout(WAIT_S)
    return receiver


@pytest.fixture
def stderr(tmp_path: Path) -> Iterator[int]:
    """A file, for processes whose stderr is not a terminal."""
    fd = os.open(tmp_path / "stderr", os.O_RDWR | os.O_CREAT, 0o600)
    yield fd
    os.close(fd)


def read(fd: int) -> str:
    return os.pread(fd, 65536, 0).decode()


def test_a_terminal_gets_them_even_where_there_is_a_syslog(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with listen(tmp_path / "log") as syslog:
        logger = Logger(tmp_path / "log", theirs)
        logger.log("a pour came")
        logger.close()
        os.close(theirs)
        line = os.read(ours, 65536).decode()
        syslog.setblocking(False)
        with pytest.raises(BlockingIOError):
            syslog.recv(1)
    os.close(ours)
    assert line.endswith(" WARNING a pour came\r\n")


def test_a_syslog_gets_them_as_facility_user_with_ident_and_pid(tmp_path: Path, stderr: int) -> None:
    with listen(tmp_path / "log") as syslog:
        logger = Logger(tmp_path / "log", stderr)
        logger.log("a pour came")
        message = syslog.recv(65536).rstrip(b"\0").decode()
        logger.close()
    facility_user, warning = 1, 4
    assert message == f"<{facility_user * 8 + warning}>kegnet-client[{logger.process.pid}]: a pour came"
    assert read(stderr) == ""


def test_a_syslog_that_goes_away_stops_nothing_and_is_heard_again(tmp_path: Path, stderr: int) -> None:
    path = tmp_path / "log"
    with listen(path) as syslog:
        logger = Logger(path, stderr)
        logger.log("one")
        assert syslog.recv(65536).rstrip(b"\0").endswith(b"one")
    path.unlink()
    logger.log("two")
    with listen(path) as syslog:
        logger.log("three")
        assert syslog.recv(65536).rstrip(b"\0").endswith(b"three")
    logger.close()
    assert read(stderr) == ""


def test_a_syslog_that_is_away_at_the_start_is_heard_once_it_is_there(tmp_path: Path, stderr: int) -> None:
    path = tmp_path / "log"
    listen(path).close()
    logger = Logger(path, stderr)
    logger.log("one")
    path.unlink()
    with listen(path) as syslog:
        logger.log("two")
        assert syslog.recv(65536).rstrip(b"\0").endswith(b"two")
    logger.close()


def test_a_syslog_that_does_not_read_stops_nothing_and_is_heard_again(tmp_path: Path, stderr: int) -> None:
    path = tmp_path / "log"
    with listen(path) as syslog:
        logger = Logger(path, stderr)
        stuck = threading.Timer(WAIT_S, logger.process.kill)  # so that a failure is one, and no wait for ever
        stuck.start()
        for number in range(int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 10):
            logger.log(str(number))
        stuck.cancel()
        assert syslog.recv(65536).rstrip(b"\0").endswith(b": 0")
        logger.log("it reads again")
        syslog.setblocking(False)
        lines = []
        with suppress(BlockingIOError):
            while True:
                lines.append(syslog.recv(65536).rstrip(b"\0"))
        logger.close()
    assert lines[-1].endswith(b"it reads again")
    assert read(stderr) == ""


def test_a_syslog_that_reads_slowly_gets_every_line(tmp_path: Path, stderr: int) -> None:
    path = tmp_path / "log"
    with listen(path) as syslog:
        logger = Logger(path, stderr)
        lines: list[bytes] = []

        def read_slowly() -> None:
            while not lines or not lines[-1].endswith(b": 99"):
                lines.append(syslog.recv(65536).rstrip(b"\0"))
                time.sleep(0.002)  # so that what is written faster fills the socket

        reader = threading.Thread(target=read_slowly, daemon=True)
        reader.start()
        for number in range(100):
            logger.log(str(number))
        reader.join(WAIT_S)
        logger.close()
    assert [line.rpartition(b": ")[2] for line in lines] == [str(number).encode() for number in range(100)]


@pytest.mark.parametrize("there", ["nothing", "a file"])
def test_without_any_of_them_stderr_gets_them(tmp_path: Path, stderr: int, there: str) -> None:
    path = tmp_path / "log"
    if there == "a file":
        path.touch()
    logger = Logger(path, stderr, JOURNAL_STREAM="1:1")
    logger.log("a pour came")
    logger.close()
    assert read(stderr).endswith(" WARNING a pour came\n")


def test_the_journal_gets_them_with_their_fields(tmp_path: Path, stderr: int) -> None:
    run = tmp_path / "run"
    (run / "systemd" / "journal").mkdir(parents=True)
    before = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /run && exec "$@"', str(run))
    if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a journal of one's own takes root")
    status = os.fstat(stderr)
    with listen(run / "systemd" / "journal" / "socket") as journal:
        logger = Logger(tmp_path / "none", stderr, before, JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}")
        logger.log("a pour came")
        lines = journal.recv(65536).decode().splitlines()
        logger.close()
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    wanted = {
        "MESSAGE": "a pour came",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "kegnet-client",
        "SYSLOG_FACILITY": "1",
        "KEGNET_FILE": "a.pour",
    }
    assert {name: fields.get(name) for name in wanted} == wanted
    assert read(stderr) == ""


def test_a_journal_that_is_away_stops_nothing(tmp_path: Path, stderr: int) -> None:
    status = os.fstat(stderr)
    logger = Logger(tmp_path / "none", stderr, JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}")
    logger.log("one")
    logger.log("two")
    logger.close()
    assert logger.process.returncode == 0
    assert "Traceback" not in read(stderr)
