"""The 1-Wire bus, read through w1thermsensor: what each thermometer on it says, or why it says nothing.

A failed or implausible read is no reading; exactly 0 °C is one. `BusReader` bounds the time: a read that hangs in
the kernel cannot be ended, so it is left behind, and while it hangs no second one is started.

Limits: a DS18B20 takes 0.8 to 1.9 s to read, one after the other, and the timeout is over all of them: thirty
seconds are enough for some fifteen. A sensor that really is at 85 °C has no reading: that is also what one says
that has just lost its power.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition, Event, Thread
from types import ModuleType

from kegnet_client.core.records import MAX_MILLIDEGREES, MIN_MILLIDEGREES, NO_TEMPERATURE, is_sensor

POWER_ON_MILLIDEGREES = 85_000
"""What a sensor says before its first conversion."""

READ_TIMEOUT_S = 30.0

_BYTES = 9
"""In each of the two lines that the kernel writes; the rest of them is words."""

_CHECK_WIRING = "check the wiring and the pull-up resistor (4.7 kΩ)"


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
    try:
        names = sorted(entry.name for entry in directory.iterdir() if is_sensor(entry.name))
    except FileNotFoundError:
        why = f"no 1-Wire bus at {directory}: put dtoverlay=w1-gpio into the Pi's config.txt and restart it"
        return BusReading(problem=why)
    except OSError as error:
        return BusReading(problem=f"the 1-Wire bus at {directory} cannot be listed: {error.strerror}")
    # The bus master stands here too, other chips, and on a loose wire sensors of the family 00.
    families = {f"{family.value:02x}" for family in _library().Sensor} if names else set()
    sensors = [name for name in names if name[:2] in families]
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


def name_missing(bus: BusReading, sensor: str | None) -> BusReading:
    """``bus``, with the configured ``sensor`` among the failures if there is one and it is not on the bus."""
    if sensor is None or bus.problem is not None or sensor in bus.millidegrees or sensor in bus.failures:
        return bus
    others = ", ".join(sorted({*bus.millidegrees, *bus.failures}))
    why = f"it is configured as the one to report and is not on the 1-Wire bus, which has {others}"
    return replace(bus, failures={**bus.failures, sensor: why})


def read_sensor(directory: Path, sensor: str) -> int:
    """The thousandths of a degree Celsius that ``sensor`` reads; `NoReadingError` says why there are none."""
    library = _library()

    class SensorHere(library.W1ThermSensor):  # type: ignore[misc, name-defined]  # a module that is imported late
        BASE_DIRECTORY = directory

        def get_raw_sensor_strings(self) -> list[str]:
            lines: list[str] = super().get_raw_sensor_strings()
            # The check sum is about the first line, and the temperature is taken from the second.
            if lines[0].split()[:_BYTES] != lines[1].split()[:_BYTES]:
                raise ValueError("the two lines differ")
            return lines

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


class BusReader:
    """Reads the bus at ``directory``, giving up after ``timeout_s``; for one thread at a time."""

    def __init__(
        self, directory: Path, read: Callable[[Path], BusReading] = read_bus, timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        self.directory = directory
        self._read = read
        self._timeout_s = timeout_s
        self._changed = Condition()
        self._busy = False
        self._hangs = False

    def read(self, stopping: Event) -> BusReading:
        """What the bus says; that it is silent, when it takes too long or ``stopping`` is set (and `wake` called)."""
        answers: list[BusReading] = []

        def look() -> None:
            try:
                answers.append(self._read(self.directory))
            except Exception as error:  # a thread's outermost frame: what it does not pass on, nobody hears of
                answers.append(BusReading(problem=f"reading the 1-Wire bus failed: {error!r}", complete=False))
            with self._changed:
                self._busy = self._hangs = False
                self._changed.notify_all()

        reader = Thread(target=look, name="thermometer-read", daemon=True)
        with self._changed:
            # One that was only interrupted ends soon; what it says then is of another time.
            self._changed.wait_for(lambda: not self._busy or self._hangs or stopping.is_set(), self._timeout_s)
            if not self._busy and not stopping.is_set():
                reader.start()
                self._busy = True
                self._changed.wait_for(lambda: answers or stopping.is_set(), self._timeout_s)
            self._hangs = self._busy and not stopping.is_set()
        if answers:
            reader.join()  # it is past all that can hang
            return answers[0]
        return BusReading(
            problem=f"the 1-Wire bus at {self.directory} does not answer: unplug its sensors one by one to find "
            "the one that blocks it",
            complete=False,
        )

    def wake(self) -> None:
        """Have `read` look whether it should stop; from any thread."""
        with self._changed:
            self._changed.notify_all()


def _library() -> ModuleType:
    """w1thermsensor, imported late: its import takes a while, and without this variable it loads kernel modules."""
    os.environ.setdefault("W1THERMSENSOR_NO_KERNEL_MODULE", "1")
    return importlib.import_module("w1thermsensor")


def _power_on() -> NoReadingError:
    return NoReadingError(f"it says 85 °C, as one does that has just lost its power; {_CHECK_WIRING}")


def _unreadable(error: OSError) -> NoReadingError:
    return NoReadingError(f"its w1_slave cannot be read: {error.strerror}")
