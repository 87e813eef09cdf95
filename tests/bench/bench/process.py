"""A process that is measured from outside: what it used and holds, as the kernel tells it."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_S = 10.0


class NoFigureError(Exception):
    """Something could not be measured; the message says why."""


class EndedError(NoFigureError):
    """It ended before it had done what it was started for; the message is what it said last."""


class Process:
    """``argv``, started; both its outputs go to ``log``. As a context it is ended when the context is left."""

    def __init__(
        self, argv: Sequence[str | Path], log: Path, environment: Mapping[str, str], before: Sequence[str] = ()
    ) -> None:
        self._log = log
        self.started_ns = time.monotonic_ns()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*before, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the bench, which ends the others
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment},
            )
        self._directory = Path("/proc") / str(self._process.pid)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, by force if it does not."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """End it as a fault would."""
        self._process.kill()
        self._process.wait()

    def check(self) -> None:
        """`EndedError` unless it still runs."""
        # Not reaped: what it used can still be read.
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise EndedError(lines[-1] if lines else "it ended without a word")

    def cpu_s(self) -> float:
        """User and system time of all its threads, those that ended included."""
        # The kernel's name for another process's CPU clock; /proc/PID/stat counts in hundredths of a second.
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def rss_mb(self) -> float:
        """What it holds now."""
        return self._memory_mb("VmRSS:")

    def peak_rss_mb(self) -> float:
        """The most it ever held."""
        return self._memory_mb("VmHWM:")

    def wakeups(self) -> int:
        """How often its threads went to sleep so far."""
        return sum(
            int(line.split()[1])
            for task in (self._directory / "task").iterdir()
            for line in (task / "status").read_text().splitlines()
            if line.startswith("voluntary_ctxt_switches:")
        )

    def _memory_mb(self, field: str) -> float:
        for line in (self._directory / "status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
        return 0.0
