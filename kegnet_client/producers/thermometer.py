"""The thermometer: reads every sensor on the 1-Wire bus on a timer and spools what they say.

`read_bus` opens the files, through w1thermsensor; `Thermometer` is the timer thread around it.

- A failed or implausible read is no reading. Exactly 0 °C is one.
- The bus is read in a thread of its own, which a round gives up on after a timeout: a read that hangs in the
  kernel costs readings and nothing else. While it hangs no second one is started.
- Without a configured sensor the first by id that reads is settled on and kept for as long as it is on the bus:
  a server that knows one temperature a device gets one series, not a mixture of two.
- While the wall clock is in doubt nothing is stamped with it, so no reading has a false time.
- One log line a change, none a round.

Limits: a DS18B20 takes 0.8 to 1.9 s to read, one after the other, and the timeout is over all of them: thirty
seconds are enough for some fifteen. A sensor that really is at 85 °C has no reading: that is also what one says
that has just lost its power.
"""

import importlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from types import ModuleType

from kegnet_client.clock import Clock
from kegnet_client.core.errors import SpoolError
from kegnet_client.core.records import (
    MAX_MILLIDEGREES,
    MIN_MILLIDEGREES,
    NO_TEMPERATURE,
    Heartbeat,
    Reading,
    format_celsius,
    is_sensor,
)

POWER_ON_MILLIDEGREES = 85_000
"""What a sensor says before its first conversion."""

READ_TIMEOUT_S = 30.0
CLOCK_CHECK_S = 60.0

_CHECK_WIRING = "check the wiring and the pull-up resistor (4.7 kΩ)"

log = logging.getLogger(__name__)


class NoReadingError(Exception):
    """A sensor gives no reading; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class BusReading:
    """What one look at the bus gave: each sensor on it is either in ``millidegrees`` or, with why, in ``failures``.

    ``problem`` is what is wrong with the bus as a whole. ``complete`` is False when the look came to nothing,
    so that which sensors there are is not known.
    """

    millidegrees: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    complete: bool = True


def read_bus(directory: Path) -> BusReading:
    """Every temperature sensor below ``directory``, in sysfs's shape. Blocks for as long as the kernel does."""
    families = {f"{family.value:02x}" for family in _library().Sensor}
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        why = f"no 1-Wire bus at {directory}: put dtoverlay=w1-gpio into the Pi's config.txt and restart it"
        return BusReading(problem=why)
    except OSError as error:
        return BusReading(problem=f"the 1-Wire bus at {directory} cannot be listed: {error.strerror}")
    # The bus master stands here too, other chips, and on a loose wire sensors of the family 00.
    sensors = [name for name in names if is_sensor(name) and name[:2] in families]
    if not sensors:
        return BusReading(problem=f"no temperature sensor on the 1-Wire bus at {directory}: {_CHECK_WIRING}")
    millidegrees: dict[str, int] = {}
    failures: dict[str, str] = {}
    for sensor in sensors:
        try:
            millidegrees[sensor] = read_sensor(directory, sensor)
        except NoReadingError as error:
            failures[sensor] = str(error)
    return BusReading(millidegrees, failures)


def read_sensor(directory: Path, sensor: str) -> int:
    """The thousandths of a degree Celsius that ``sensor`` reads; `NoReadingError` says why there are none."""
    library = _library()

    class SensorHere(library.W1ThermSensor):  # type: ignore[misc, name-defined]
        BASE_DIRECTORY = directory

    try:
        family = library.Sensor.from_id_string(sensor[:2])
        return to_millidegrees(SensorHere(family, sensor[3:]).get_temperature())
    except library.ResetValueError:
        raise _power_on() from None
    except library.SensorNotReadyError:
        raise NoReadingError(f"its answer is empty or fails its check sum; {_CHECK_WIRING}") from None
    except library.NoSensorFoundError as error:
        # Raised for every failing open or read too; the real fault is what it was raised over.
        if isinstance(error.__context__, OSError):
            raise _unreadable(error.__context__) from None
        raise NoReadingError("it was just pulled out, or the kernel lacks its driver (modprobe w1-therm)") from None
    except OSError as error:
        raise _unreadable(error) from None
    except (IndexError, ValueError):
        raise NoReadingError("its w1_slave is not what the kernel writes, or only a part of it") from None


def to_millidegrees(celsius: float) -> int:
    """Thousandths, truncated toward zero as the kernel prints them; `NoReadingError` for what is no temperature."""
    # w1thermsensor gives a DS18S20's value as thousandths times a float, which may be a bit less than they were.
    thousandths = round(celsius * 1000, 3)
    if not MIN_MILLIDEGREES <= thousandths <= MAX_MILLIDEGREES or int(thousandths) == NO_TEMPERATURE:
        raise NoReadingError(f"it says {celsius:g} °C, which is not a temperature; {_CHECK_WIRING}")
    if thousandths == POWER_ON_MILLIDEGREES:
        raise _power_on()
    return int(thousandths)


class Thermometer(Thread):
    """Reads the bus at once and then every ``interval_s``, until `stop`.

    ``sensor`` is the one whose temperature is reported, None for the first; with ``all_sensors`` every one is.
    ``enqueue`` takes a reading for good or raises `SpoolError`; ``heartbeat`` gets a sign of life when a round
    had no reading to enqueue. Both are called in this thread.
    """

    def __init__(
        self,
        *,
        directory: Path,
        interval_s: float,
        sensor: str | None,
        all_sensors: bool,
        enqueue: Callable[[Reading], object],
        heartbeat: Callable[[Heartbeat], object],
        clock: Clock,
        read: Callable[[Path], BusReading] = read_bus,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        super().__init__(name="thermometer", daemon=True)
        self.problem: str | None = None
        """What keeps temperatures from being read or spooled, for the status; None when nothing does."""
        self.not_taken = 0
        """How many readings the spool could not take."""
        self._directory = directory
        self._interval_s = interval_s
        self._configured = sensor
        self._all_sensors = all_sensors
        self._enqueue = enqueue
        self._heartbeat = heartbeat
        self._clock = clock
        self._read = read
        self._timeout_s = timeout_s
        self._stopping = Event()
        self._answered = Event()
        self._reader: Thread | None = None
        self._settled: str | None = None
        self._reads: dict[str, bool] = {}
        self._bus_problem: str | None = None
        self._clock_doubt: str | None = None
        self._spool_problem: str | None = None
        self._latest: Mapping[str, Reading] = {}

    def latest(self) -> dict[str, Reading]:
        """The last reading of each sensor that ever had one. Safe to call from any thread."""
        return dict(self._latest)  # replaced as a whole by `one_round`, never changed

    def stop(self) -> None:
        """Ends the thread, at once even while a read hangs."""
        self._stopping.set()
        self._answered.set()

    def run(self) -> None:
        """The timer."""
        while not self._stopping.is_set():
            started_s = self._clock.monotonic_s()
            wait_s = self.one_round()
            self._stopping.wait(max(0.0, started_s + wait_s - self._clock.monotonic_s()))

    def one_round(self) -> float:
        """Reads the bus once and hands over what it says; the seconds from its start to the next one's."""
        bus = self._name_missing(self._read_in_time())
        if self._stopping.is_set():
            return 0.0
        self._tell_bus(bus)
        # Asked after the read, right before the stamp: a read takes seconds, and the clock may be set in them.
        self._tell_clock(self._clock.doubt())
        if self._clock_doubt is None:
            self._hand_over(bus, self._clock.wall_ms())
        failures = (f"sensor {sensor} gives no reading: {why}" for sensor, why in bus.failures.items())
        problems = (self._clock_doubt, bus.problem, *failures, self._spool_problem)
        self.problem = "; ".join(filter(None, problems)) or None
        return self._interval_s if self._clock_doubt is None else min(self._interval_s, CLOCK_CHECK_S)

    def _read_in_time(self) -> BusReading:
        silent = BusReading(
            problem=f"the 1-Wire bus at {self._directory} does not answer: unplug its sensors one by one to find "
            "the one that blocks it",
            complete=False,
        )
        if self._reader is not None and self._reader.is_alive():
            return silent
        answered = Event()
        answers: list[BusReading] = []

        def look() -> None:
            try:
                answers.append(self._read(self._directory))
            except Exception as error:  # a thread's outermost frame: what it does not pass on, nobody hears of
                answers.append(BusReading(problem=f"reading the 1-Wire bus failed: {error!r}", complete=False))
            finally:
                answered.set()

        # `stop` sets `_stopping` and then this event, so one of the two is seen whenever it comes.
        self._answered = answered
        if self._stopping.is_set():
            return silent
        self._reader = Thread(target=look, name="thermometer-read", daemon=True)
        self._reader.start()
        answered.wait(self._timeout_s)
        if not answers:
            return silent
        self._reader.join()  # it is past all that can hang, and the next round must not find it alive
        return answers[0]

    def _name_missing(self, bus: BusReading) -> BusReading:
        """``bus``, with the configured sensor among the failures if it is not on it."""
        sensor = self._configured
        if sensor is None or bus.problem is not None or sensor in bus.millidegrees or sensor in bus.failures:
            return bus
        others = ", ".join(sorted({*bus.millidegrees, *bus.failures}))
        why = f"it is configured as the one to report and is not on the 1-Wire bus, which has {others}"
        return replace(bus, failures={**bus.failures, sensor: why})

    def _tell_bus(self, bus: BusReading) -> None:
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
        if bus.problem is not None and bus.problem != self._bus_problem:
            log.warning("no temperatures, pours go on: %s", bus.problem)
        if bus.problem is None and self._bus_problem is not None and not told:
            log.info("the 1-Wire bus answers again")
        self._bus_problem = bus.problem

    def _tell_clock(self, doubt: str | None) -> None:
        if doubt is not None and self._clock_doubt is None:
            log.warning("temperatures wait for the clock, pours go on: %s", doubt)
        if doubt is None and self._clock_doubt is not None:
            log.info("the clock is right now, temperatures go on")
        self._clock_doubt = doubt

    def _hand_over(self, bus: BusReading, at_ms: int) -> None:
        readings = [Reading(sensor, value, at_ms) for sensor, value in sorted(bus.millidegrees.items())]
        self._latest = {**self._latest, **{reading.sensor: reading for reading in readings}}
        if not self._all_sensors:
            reported = self._configured or self._settle(bus)
            readings = [reading for reading in readings if reading.sensor == reported]
        taken = [self._take(reading) for reading in readings]
        if not any(taken):
            self._heartbeat(Heartbeat(at_ms))

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

    def _take(self, reading: Reading) -> bool:
        try:
            self._enqueue(reading)
        except SpoolError as error:
            self.not_taken += 1
            if self._spool_problem is None:
                log.warning("temperatures are not taken for now: %s", error)
            self._spool_problem = str(error)
            return False
        if self._spool_problem is not None:
            log.info("temperatures are taken again; %d were not", self.not_taken)
            self._spool_problem = None
        return True


def _library() -> ModuleType:
    """w1thermsensor, imported late: its import takes a while, and without this variable it loads kernel modules."""
    os.environ.setdefault("W1THERMSENSOR_NO_KERNEL_MODULE", "1")
    return importlib.import_module("w1thermsensor")


def _power_on() -> NoReadingError:
    return NoReadingError(f"it says 85 °C, as one does that has just lost its power; {_CHECK_WIRING}")


def _unreadable(error: OSError) -> NoReadingError:
    return NoReadingError(f"its w1_slave cannot be read: {error.strerror}")
