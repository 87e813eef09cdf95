"""The thermometer: reads every sensor on the 1-Wire bus on a timer and spools what they say.

- A bus that hangs costs readings and nothing else.
- Without a configured sensor the first by id that reads is settled on and kept for as long as it is on the bus:
  a server that knows one temperature a device gets one series, not a mixture of two.
- Each sensor of a round has a millisecond of its own.
- While the wall clock is in doubt nothing is stamped with it, so no reading has a false time.
- One log line a change, none a round.
"""

import logging
from collections.abc import Callable, Mapping
from threading import Event

from kegnet_client.core.errors import SpoolError
from kegnet_client.core.records import Reading, format_celsius
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.producers.base import Stop
from kegnet_client.producers.one_wire import BusReader, BusReading, name_missing

CLOCK_CHECK_S = 60.0

log = logging.getLogger(__name__)


class Thermometer:
    """A producer that reads the bus at once and then every ``interval_s``.

    ``sensor`` is the one whose temperature is reported, None for the first; with ``all_sensors`` every one is.
    ``enqueue`` takes a reading for good or raises `SpoolError`; ``changed`` is called when ``problem`` is another
    one. Both are called in the thread that runs this.
    """

    def __init__(
        self,
        *,
        bus: BusReader,
        interval_s: float,
        sensor: str | None,
        all_sensors: bool,
        enqueue: Callable[[Reading], object],
        changed: Callable[[], object],
        clock: Clock,
    ) -> None:
        self.problem: str | None = None
        """What keeps temperatures from being read or spooled, for the status; None when nothing does."""
        self.not_taken = 0
        """How many readings the spool could not take."""
        self.bus = bus
        self._interval_s = interval_s
        self._configured = sensor
        self._all_sensors = all_sensors
        self._enqueue = enqueue
        self._changed = changed
        self._clock = clock
        self._settled: str | None = None
        self._reads: dict[str, bool] = {}
        self._silent_bus = Condition(log)
        self._doubtful_clock = Condition(log)
        self._full_spool = Condition(log)
        self._latest: Mapping[str, Reading] = {}

    def latest(self) -> dict[str, Reading]:
        """The last reading of each sensor that ever had one. Safe to call from any thread."""
        return dict(self._latest)  # replaced as a whole by `one_round`, never changed

    def status(self) -> Mapping[str, object]:
        """The last temperatures, and how many were lost."""
        return {
            "temperatures": [
                {"sensor": one.sensor, "millidegrees": one.millidegrees, "taken_ms": one.taken_ms}
                for one in self.latest().values()
            ],
            "counters": {"readings_not_taken": self.not_taken},
        }

    def run(self, stop: Stop) -> None:
        """The timer."""
        stop.on_set(self.bus.wake)  # out of a read that hangs
        while not stop.is_set():
            started_s = self._clock.monotonic_s()
            try:
                wait_s = self.one_round(stop)
            except Exception as error:  # the thread's outermost frame: temperatures go on in the next round
                log.exception("a fault in kegnet-client itself, please report it; pours go on")
                self.problem = f"reading the temperature failed: {error!r}"
                wait_s = self._interval_s
            stop.wait(max(0.0, started_s + wait_s - self._clock.monotonic_s()))

    def one_round(self, stopping: Event) -> float:
        """Reads the bus once and hands over what it says; the seconds from its start to the next one's."""
        bus = name_missing(self.bus.read(stopping), self._configured)
        if stopping.is_set():
            return 0.0
        self._log_bus(bus)
        # Asked after the read, right before the stamp: a read takes seconds, and the clock may be set in them.
        self._look_at_clock(self._clock.doubt())
        if self._doubtful_clock.text is None:
            self._hand_over(bus, self._clock.wall_ms())
        failures = (f"sensor {sensor} gives no reading: {why}" for sensor, why in bus.failures.items())
        problems = (self._doubtful_clock.text, bus.problem, *failures, self._full_spool.text)
        before, self.problem = self.problem, "; ".join(filter(None, problems)) or None
        if self.problem != before:
            self._changed()
        return self._interval_s if self._doubtful_clock.text is None else min(self._interval_s, CLOCK_CHECK_S)

    def _log_bus(self, bus: BusReading) -> None:
        told = False
        for sensor, millidegrees in bus.millidegrees.items():
            if not self._reads.get(sensor, False):
                told = True
                again = " again" if sensor in self._reads else ""
                log.info("sensor %s reads%s: %s", sensor, again, format_celsius(millidegrees))
        for sensor, why in bus.failures.items():
            if self._reads.get(sensor, True):
                told = True
                log.warning("sensor %s gives no reading, pours go on: %s", sensor, why)
        if bus.complete:
            reads = dict.fromkeys(bus.millidegrees, True) | dict.fromkeys(bus.failures, False)
            if bus.problem is None:
                for sensor in sorted(self._reads.keys() - reads.keys()):
                    told = True
                    log.warning("sensor %s is gone from the 1-Wire bus", sensor)
            self._reads = reads
        if bus.problem is None:
            self._silent_bus.end("" if told else "the 1-Wire bus answers again")
        else:
            self._silent_bus.begin(bus.problem, f"no temperatures, pours go on: {bus.problem}", key=bus.problem)

    def _look_at_clock(self, doubt: str | None) -> None:
        if doubt is None:
            self._doubtful_clock.end("the clock is right now, temperatures go on")
        else:
            self._doubtful_clock.begin(doubt, f"temperatures wait for the clock, pours go on: {doubt}")

    def _hand_over(self, bus: BusReading, at_ms: int) -> None:
        # REST v1 and v2 do not tell the sensor, so that two at one temperature and one time were one record.
        sensors = sorted(bus.millidegrees.items())
        readings = [Reading(sensor, value, at_ms + place) for place, (sensor, value) in enumerate(sensors)]
        self._latest = {**self._latest, **{reading.sensor: reading for reading in readings}}
        if not self._all_sensors:
            reported = self._configured or self._settle(bus)
            readings = [reading for reading in readings if reading.sensor == reported]
        for reading in readings:
            self._take(reading)

    def _settle(self, bus: BusReading) -> str | None:
        """The sensor to report where none is configured."""
        present = {*bus.millidegrees, *bus.failures}
        if bus.millidegrees and self._settled not in present:
            self._settled = min(bus.millidegrees)
            if len(present) > 1:
                log.info(
                    "of %d sensors %s is reported; [Thermometer] sensor names another", len(present), self._settled
                )
        return self._settled

    def _take(self, reading: Reading) -> None:
        try:
            self._enqueue(reading)
        except SpoolError as error:
            self.not_taken += 1
            self._full_spool.begin(str(error), f"temperatures are not taken for now: {error}")
        else:
            self._full_spool.end(f"temperatures are taken again; {self.not_taken} were not")
