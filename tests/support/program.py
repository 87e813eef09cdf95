"""The program as a process, and its log."""

import contextlib
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Any

from .waits import WAIT_S

COMMAND = Path(sys.executable).with_name("kegnet-client")


class Log:
    """Lines as they come from a file descriptor, and the wait for one of them."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: list[str] = []
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def lines(self, text: str = "") -> list[str]:
        """Those so far that hold ``text``."""
        with self._came:
            return self._holding(text)

    def wait_for(self, text: str, count: int = 1, timeout_s: float = WAIT_S) -> str:
        """The ``count``-th line that holds ``text``."""
        with self._came:
            came = self._came.wait_for(lambda: len(self._holding(text)) >= count, timeout_s)
            assert came, f"no {text!r} in:\n" + "\n".join(self._lines)
            return self._holding(text)[count - 1]

    def close(self) -> None:
        """After the end of whoever writes."""
        self._thread.join(WAIT_S)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _holding(self, text: str) -> list[str]:
        return [line for line in self._lines if text in line]

    def _read(self) -> None:
        rest = b""
        # A terminal whose other end is closed says EIO.
        with contextlib.suppress(OSError):
            while data := os.read(self._fd, 65536):
                *lines, rest = (rest + data).split(b"\n")
                with self._came:
                    self._lines += [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
                    self._came.notify_all()


class Program:
    """A running process; ``log`` is what it says, to a terminal unless told otherwise, without its ``stdout`` if that
    goes elsewhere. ``pid`` is the program's, whatever starts it; ``options`` are Popen's."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        terminal: bool = True,
        stdout: int | None = None,
        **options: Any,
    ) -> None:
        ours, theirs = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            cwd="/",
            env=environment,
            **options,
        )
        os.close(theirs)
        self.log = Log(ours)

    @property
    def pid(self) -> int:
        """The last of those that started one another."""
        pid = self.process.pid
        while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            pid = int(children[0])
        return pid

    def memory_kb(self, what: str = "VmRSS") -> int:
        """``VmRSS`` is what it has now, ``VmHWM`` the most that it ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition(f"{what}:")[2].split()[0])

    def signal(self, number: Signals) -> None:
        os.kill(self.pid, number)

    def stop(self, number: Signals = SIGTERM) -> tuple[int, float]:
        """The exit code, and how many seconds it took to end."""
        started_s = time.monotonic()
        self.signal(number)
        return self.process.wait(WAIT_S), time.monotonic() - started_s

    def close(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.signal(Signals.SIGKILL)
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


@contextlib.contextmanager
def asleep(program: Program) -> Iterator[None]:
    """What happens meanwhile, it finds all at once."""
    program.signal(Signals.SIGSTOP)
    try:
        yield
    finally:
        program.signal(Signals.SIGCONT)
