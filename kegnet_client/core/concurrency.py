"""How many connections carry a backlog: a machine without a clock of its own.

With a round trip between, two connections carry twice as much as one; where the processor or the server is the
limit they carry no more, and threads of Python that are all busy are slower than one. So the number is doubled only
while this process mostly waits, as long as that carries noticeably more, taken back where it did not, and is one again
as soon as something fails or the server slows down. All times are seconds on one monotonic clock.
"""

from collections.abc import Callable

WINDOW_S = 0.25
WINDOW_ANSWERS = 4
"""A rate is taken over both at least, the answers from each connection."""
WARM_ANSWERS = 2
"""So many from each are not counted at first: a connection that was just added shakes hands."""
GAIN = 1.1
"""How much more twice the connections have to carry, when they are tried."""
BUSY_SHARE = 0.7
"""Of a core. From here on more connections are not tried: they could carry little more than one that is never idle."""
SLOWDOWN = 0.5
"""What is left of the rate when a server has slowed down."""
REST_WINDOWS = 50
"""How long a number that did not pay is not tried again."""


class AdaptiveConcurrency:
    """``connections`` is how many to use now, 1 to ``limit``, a power of two. ``busy_s`` gives how much processor time
    this process has had."""

    def __init__(self, limit: int, busy_s: Callable[[], float]) -> None:
        self.connections = 1
        self._limit = limit
        self._busy_s = busy_s
        self._busy_at_start_s = 0.0
        self._rate = 0.0
        self._rest = 0
        self._on_trial = False
        self._warm = False
        self._since_s: float | None = None
        self._answers = 0
        self._records = 0

    def answered(self, records: int, now_s: float) -> None:
        """A request was answered well, and ``records`` are done with."""
        if self._since_s is None:
            self._begin_window(now_s)
            return
        self._answers += 1
        self._records += records
        elapsed_s = now_s - self._since_s
        if not self._warm:
            if self._answers >= WARM_ANSWERS * self.connections:
                self._warm = True
                self._begin_window(now_s)
        elif self._answers >= WINDOW_ANSWERS * self.connections and elapsed_s >= WINDOW_S:
            self._judge(self._records / elapsed_s, (self._busy_s() - self._busy_at_start_s) / elapsed_s)
            self._begin_window(now_s)

    def interrupted(self) -> None:
        """Something else took its time: what is being measured is not the connections."""
        self._since_s = None

    def restart(self) -> None:
        """It failed, or there is nothing to carry."""
        self._change(1)
        self._on_trial = False
        self._rate = 0.0
        self._rest = 0

    def _judge(self, rate: float, busy_share: float) -> None:
        before, self._rate = self._rate, rate
        if self._on_trial:
            self._on_trial = False
            if rate < before * GAIN:
                self._change(self.connections // 2)
                self._rate = before
                self._rest = REST_WINDOWS
                return
        elif rate < before * SLOWDOWN:
            self.restart()
            return
        if self._rest:
            self._rest -= 1
        elif self.connections < self._limit and busy_share < BUSY_SHARE:
            self._change(self.connections * 2)
            self._on_trial = True

    def _change(self, connections: int) -> None:
        self.connections = connections
        self._warm = False
        self._since_s = None

    def _begin_window(self, now_s: float) -> None:
        self._since_s = now_s
        self._busy_at_start_s = self._busy_s()
        self._answers = self._records = 0
