"""The thermometers of a board, which tell of themselves far more often than anybody wants to know.

The first reading of each and then one an interval goes into the spool, by a thread of its own: a card that stalls
holds up no counting. While the wall clock is in doubt nothing is stamped with it.
"""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kegnet_client.core.errors import RecordError, SpoolError
from kegnet_client.core.records import Reading, format_celsius, make_reading
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition

MAX_SENSORS = 64
_MAX_WAITING = 64
CLOSE_S = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """Which readings are reported, and how often. With ``all_sensors`` those of every sensor; else those of
    ``sensor``, or without one of the first that reads."""

    interval_s: float
    sensor: str | None
    all_sensors: bool


class BoardSensors:
    """Readings on their way into the spool; ``enqueue``, in a thread of its own, takes one or raises `SpoolError`."""

    def __init__(self, rules: ReadingRules, enqueue: Callable[[Reading], object], clock: Clock) -> None:
        self.not_taken = 0
        """How many readings the spool could not take."""
        self._interval_s = rules.interval_s
        self._reported = rules.sensor
        self._all_sensors = rules.all_sensors
        self._enqueue = enqueue
        self._clock = clock
        self._latest: dict[str, Reading] = {}
        self._due_s: dict[str, float] = {}
        self._failing: dict[str, Condition] = {}
        self._doubtful_clock = Condition(log)
        self._full_spool = Condition(log)
        self._queue: queue.Queue[Reading | None] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(target=self._write, name="readings", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """What keeps temperatures from being read or spooled; None when nothing does."""
        failing = [condition.text for condition in tuple(self._failing.values())]
        return "; ".join(filter(None, [self._doubtful_clock.text, *failing, self._full_spool.text])) or None

    def latest(self) -> list[Mapping[str, object]]:
        """The last temperatures, for the status."""
        return [
            {"sensor": one.sensor, "millidegrees": one.millidegrees, "taken_ms": one.taken_ms}
            for one in tuple(self._latest.values())
        ]

    def take(self, sensor: str, millidegrees: int) -> bool:
        """``sensor`` reads ``millidegrees``; whether that is a new reading."""
        now_s = self._clock.monotonic_s()
        self._end_failure(sensor)
        if now_s < self._due_s.get(sensor, 0.0) or (len(self._due_s) >= MAX_SENSORS and sensor not in self._due_s):
            return False
        if (doubt := self._clock.doubt()) is not None:
            self._doubtful_clock.begin(doubt, f"temperatures wait for the clock, pours go on: {doubt}")
            return False
        self._doubtful_clock.end("the clock is right now, temperatures go on")
        reading = make_reading(sensor, millidegrees, self._clock.wall_ms())
        if sensor not in self._latest:
            log.info("sensor %s reads: %s", sensor, format_celsius(millidegrees))
        self._due_s[sensor] = now_s + self._interval_s
        self._latest[sensor] = reading
        if self._reported is None and not self._all_sensors:
            self._reported = sensor
        if self._all_sensors or sensor == self._reported:
            try:
                self._queue.put_nowait(reading)
            except queue.Full:
                self.not_taken += 1
        return True

    def fail(self, sensor: str, why: str) -> None:
        """What ``sensor``, which may be any text, says is no reading."""
        if sensor in self._failing or len(self._failing) < MAX_SENSORS:
            text = f"sensor {sensor} gives no reading: {why}"
            self._failing.setdefault(sensor, Condition(log)).begin(text, f"{text}; pours go on")

    def close(self) -> None:
        """Have what waits written."""
        try:
            self._queue.put(None, timeout=CLOSE_S)
        except queue.Full:  # a disk that hangs
            return
        self._thread.join(CLOSE_S)

    def _end_failure(self, sensor: str) -> None:
        condition = self._failing.pop(sensor, None)
        if condition is not None:
            condition.end(f"sensor {sensor} reads again")

    def _write(self) -> None:
        while (reading := self._queue.get()) is not None:
            try:
                self._enqueue(reading)
            except (SpoolError, RecordError) as error:
                self.not_taken += 1
                self._full_spool.begin(str(error), f"temperatures are not taken for now: {error}")
            else:
                self._full_spool.end(f"temperatures are taken again; {self.not_taken} were not")
