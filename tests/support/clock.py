"""The clock of the tests."""

import threading

from kegnet_client import RELEASED_MS
from kegnet_client.host.clock import STA_UNSYNC, TIME_ERROR, Clock

NOW_MS = RELEASED_MS + 86_400_000
"""What it shows, unless told otherwise: a time that may be trusted."""

UNSYNCHRONISED = (TIME_ERROR, STA_UNSYNC)


class FakeClock(Clock):
    """Stands still until a test moves it: ``now_s`` moves both hands, ``now_ms`` that on the wall.

    It is long after the boot, and the kernel does not vouch for the time, unless told otherwise. A thread sees both
    hands as they were when it read the one for intervals.
    """

    def __init__(
        self, wall_ms: int = NOW_MS, since_boot_s: float = 1e6, kernel: tuple[int, int] | OSError = UNSYNCHRONISED
    ) -> None:
        def read_kernel() -> tuple[int, int]:
            if isinstance(kernel, OSError):
                raise kernel
            return kernel

        super().__init__(read_kernel)
        self.now_s = since_boot_s
        self._ahead_ms = wall_ms - round(since_boot_s * 1000)
        self._seen = threading.local()

    @property
    def now_ms(self) -> int:
        return round(self.now_s * 1000) + self._ahead_ms

    @now_ms.setter
    def now_ms(self, wall_ms: int) -> None:
        self._ahead_ms = wall_ms - round(self.now_s * 1000)

    def monotonic_s(self) -> float:
        self._seen.now_s = self.now_s
        return self.now_s

    def wall_ms(self) -> int:
        return round(getattr(self._seen, "now_s", self.now_s) * 1000) + self._ahead_ms

    def busy_s(self) -> float:
        return 0.0

    def set_wall_by(self, seconds: float) -> None:
        self._ahead_ms += round(seconds * 1000)

    def mtime_ns(self, age_s: float = 0.0) -> int:
        """The modification time of what changed so long ago."""
        return (round((self.now_s - age_s) * 1000) + self._ahead_ms) * 1_000_000
