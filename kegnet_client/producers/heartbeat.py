"""The heartbeat: what the server gets when there is no temperature to tell it that the device is up.

It goes out when no reading was taken for an interval, for whatever reason: no sensor, a bus that hangs, a spool that
is full. While the wall clock is in doubt none goes out, so that none has a false time.
"""

from collections.abc import Callable, Mapping

from kegnet_client.core.records import Heartbeat
from kegnet_client.host.clock import Clock
from kegnet_client.producers.base import Stop

PATIENCE_S = 10.0
"""So much longer than the interval a reading may take: reading the bus takes its time, and not always the same."""
CLOCK_CHECK_S = 60.0


class SignOfLife:
    """A producer that spools nothing: ``send`` gets each heartbeat, in the thread that runs this.

    ``interval_s`` is that of the readings, each of which somebody reports to `taken`.
    """

    problem = None

    def __init__(self, interval_s: float, send: Callable[[Heartbeat], object], clock: Clock) -> None:
        self._interval_s = interval_s
        self._patience_s = min(interval_s, PATIENCE_S)
        self._send = send
        self._clock = clock
        self._next_s = clock.monotonic_s() + self._patience_s
        self._after_reading_s = self._next_s

    def taken(self) -> None:
        """A reading was taken: it is a heartbeat, too. From any thread."""
        self._after_reading_s = self._clock.monotonic_s() + self._interval_s + self._patience_s

    def run(self, stop: Stop) -> None:
        """Send one whenever it is due."""
        while not stop.wait(self.look()):
            pass

    def look(self) -> float:
        """Send one if it is due; the seconds until the next look."""
        due_s = max(self._next_s, self._after_reading_s)
        now_s = self._clock.monotonic_s()
        if now_s < due_s:
            return due_s - now_s
        if self._clock.doubt() is None:
            self._send(Heartbeat(self._clock.wall_ms()))
            wait_s = self._interval_s
        else:
            wait_s = min(self._interval_s, CLOCK_CHECK_S)
        self._next_s = now_s + wait_s
        return wait_s

    def status(self) -> Mapping[str, object]:
        """Nothing to show."""
        return {}
