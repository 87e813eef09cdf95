"""The clocks of this machine, and whether the one on the wall may be trusted.

A Pi has no battery behind its clock: after a power cut it starts in 1970 or hours behind, and is set once the
network is there. Intervals, timeouts and backoff therefore run on `Clock.monotonic_s`, and a time that goes
into a record comes from `Clock.wall_ms` only while `Clock.doubt` has nothing to say.

Limits: Linux only. Where adjtimex is refused (systemd's ``ProtectClock=``, some containers) the kernel's own
opinion is unknown and counts as "not synchronised", which costs the first five minutes after a boot. After those
a clock that is merely hours behind is trusted, or a Pi that never meets a time server would never report.
"""

import ctypes
import errno
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kegnet_client import RELEASED_MS

SETTLING_S = 300.0
"""How long after a boot the clock is trusted only if the kernel vouches for it."""

STEP_S = 1.0
"""A wall clock that moved this much more or less than time went by was set, not slewed."""

TIME_ERROR = 5
STA_UNSYNC = 0x40


class _Timex(ctypes.Structure):
    """The start of ``struct timex``, and more than enough room for the rest of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def read_kernel_clock(libc: object | None = None) -> tuple[int, int]:
    """The state and the status bits of adjtimex(2); `OSError` where the kernel or the C library refuses.

    It asks only, which takes no privilege: ``modes`` is 0.
    """
    adjtimex = getattr(ctypes.CDLL(None, use_errno=True) if libc is None else libc, "adjtimex", None)
    if adjtimex is None:
        raise OSError(errno.ENOSYS, "the C library has no adjtimex")
    timex = _Timex()
    state = adjtimex(ctypes.byref(timex))
    if state < 0:
        raise OSError(ctypes.get_errno(), "adjtimex was refused")
    return state, timex.status


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment by both clocks."""

    monotonic_s: float
    wall_ms: int


class Clock:
    """This machine's clocks. A test overrides the readings; what follows from them stays."""

    def __init__(self, read_kernel: Callable[[], tuple[int, int]] = read_kernel_clock) -> None:
        self._read_kernel = read_kernel
        self.steps = StepDetector()
        """Shared by all who use this clock: a step that one of them saw is one for all."""

    def now(self) -> Moment:
        """This moment."""
        return Moment(self.monotonic_s(), self.wall_ms())

    def wall_ms(self) -> int:
        """Unix time in milliseconds, right or wrong."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since the boot, for all that is measured. Nobody can set it.

        It is CLOCK_BOOTTIME, which counts the time that the machine was suspended: a wait that ran out
        meanwhile is over on resume, and a resume does not look as if the wall clock had been set.
        """
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def busy_s(self) -> float:
        """Seconds of processor time that this process has had, in all its threads."""
        return time.process_time()

    def synchronised(self) -> bool:
        """Whether the kernel says that something keeps the wall clock right."""
        try:
            state, status = self._read_kernel()
        except OSError:
            return False
        return state != TIME_ERROR and not status & STA_UNSYNC

    def doubt(self) -> str | None:
        """Why no record should be stamped with the wall clock now, in a line for people; None when it may."""
        if self.wall_ms() <= RELEASED_MS:
            released = datetime.fromtimestamp(RELEASED_MS / 1000, UTC).date()
            return f"this machine's clock stands before {released}, when this program was made: set it (timedatectl)"
        if self.monotonic_s() < SETTLING_S and not self.synchronised():
            return "this machine has just started and its clock is not synchronised yet"
        return None


class StepDetector:
    """Tells a wall clock that was set from one that runs, by samples of both clocks.

    A slewed clock gains or loses up to 0.5 ms a second, so samples want to be less than half an hour apart.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._stepped_at_s = -math.inf

    def feed(self, monotonic_s: float, wall_ms: int) -> bool:
        """Whether the wall clock was set since the sample before this one."""
        before_s, self._offset_s = self._offset_s, wall_ms / 1000 - monotonic_s
        stepped = before_s is not None and abs(self._offset_s - before_s) > STEP_S
        if stepped:
            self._stepped_at_s = monotonic_s
        return stepped

    def stable_for_s(self, monotonic_s: float) -> float:
        """Seconds since a step was last seen; infinite when none was."""
        return monotonic_s - self._stepped_at_s
