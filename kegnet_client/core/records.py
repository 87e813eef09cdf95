"""Spool text to record and back.

A spool file holds one record on one line. What is accepted here is all that is ever signed, so the grammar
is strict: canonical integers, bounded values, known sensors. Whatever else arrives is a `RecordError` that
says what is wrong; the caller keeps the bytes.

========== ================================== ==========================================
name       line                               units
========== ================================== ==========================================
NAME.pour     ``pin,pulses,elapsed,started``  milliseconds since 1970; seconds before v2
NAME.reading  ``sensor,millidegrees,taken``   thousandths of a degree Celsius, milliseconds
========== ================================== ==========================================

A producer that dies while it writes in place leaves the beginning of a line, and a whole line need not end with a
newline. So no beginning of a record's line may be another record: times are of 2001 to 2099, where no time begins with
all the digits of another, and ten digits of a time in milliseconds count as seconds only where the meter could have
run so slowly. Only a pour of as many pulses as milliseconds (a single one in no time at all) is not safe from that.
"""

import re
from typing import NamedTuple

from kegnet_client.core.errors import RecordError

POUR_SUFFIX = ".pour"
READING_SUFFIX = ".reading"
SUFFIXES = (POUR_SUFFIX, READING_SUFFIX)

MAX_FILE_BYTES = 4096
"""A larger spool file is rejected unread."""

MAX_PIN = 255
MAX_PULSES = 2**31 - 1
MAX_ELAPSED_MS = 24 * 3600 * 1000

FIRST_SECOND = 978_307_200
"""2001-01-01T00:00:00Z. A time before it was torn, or written by a clock that was not set yet."""
END_OF_SECONDS = 4_102_444_800
"""2100-01-01T00:00:00Z. From ``FIRST_SECOND`` up to here ``started`` can be an old producer's seconds."""
FIRST_MS = FIRST_SECOND * 1000
LAST_MS = END_OF_SECONDS * 1000 - 1
"""2099-12-31T23:59:59.999Z. A later time is no clock's, and could begin with all the digits of an earlier one."""

MIN_MILLIDEGREES = -55_000
MAX_MILLIDEGREES = 125_000
NO_TEMPERATURE = -1
"""How REST v1 and v2 say "no reading". No DS18B20 reads it: its steps are 62.5 thousandths."""

_TORN = "the line was torn or the clock was not set"
_NATURAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_WHOLE_POUR = re.compile((",".join([f"({_NATURAL.pattern})"] * 4) + "\n?").encode("ascii"))
_SENSOR = re.compile(r"[0-9a-f]{2}-[0-9a-f]{12}", re.ASCII)


class Pour(NamedTuple):
    """What one tap gave in one go. ``started_ms`` is the Unix time of the first pulse."""

    pin: int
    pulses: int
    elapsed_ms: int
    started_ms: int

    def __str__(self) -> str:
        return f"pour of {self.pulses} pulses in {self.elapsed_ms / 1000:.1f} s on pin {self.pin}"


class Reading(NamedTuple):
    """One temperature of one 1-Wire sensor (``28-0316a2795c5b``)."""

    sensor: str
    millidegrees: int
    taken_ms: int

    def __str__(self) -> str:
        return f"reading of {format_celsius(self.millidegrees)} from {self.sensor}"


class Heartbeat(NamedTuple):
    """A heartbeat from a device that has no temperature to tell. Never spooled."""

    at_ms: int

    def __str__(self) -> str:
        return "heartbeat"


Record = Pour | Reading
"""What a spool file holds."""


def is_record_name(name: str) -> bool:
    """Whether the spool file ``name`` is ours to read: one of our suffixes, and no writer at work on it."""
    return name.endswith(SUFFIXES) and not name.startswith(".")


def parse_natural(name: str, text: str) -> int:
    """The canonical natural number ``text``; `RecordError` calls the field ``name``."""
    if not _NATURAL.fullmatch(text):
        raise RecordError(f"{name} is {text[:40]!r}, expected digits only, without sign, space or leading zero")
    return int(text)


def parse_integer(name: str, text: str) -> int:
    """The canonical integer ``text``; `RecordError` calls the field ``name``."""
    if not _INTEGER.fullmatch(text):
        raise RecordError(f"{name} is {text[:40]!r}, expected digits only, such as 3875 or -500")
    return int(text)


def is_sensor(text: str) -> bool:
    """Whether ``text`` is a 1-Wire id as the kernel writes it."""
    return _SENSOR.fullmatch(text) is not None


def parse(name: str, data: bytes) -> Record:
    """The record in the spool file ``name`` with the content ``data``.

    Raises `RecordError` for everything that is not exactly one well-formed, bounded record.
    """
    if name.endswith(POUR_SUFFIX) and (fields := _WHOLE_POUR.fullmatch(data)):
        # A good one takes one look at all of it; each part has its own only to say which one is wrong.
        return _bound_pour(*map(int, fields.groups()))
    if len(data) > MAX_FILE_BYTES:
        raise RecordError(f"the file has {len(data)} bytes, a record fits in {MAX_FILE_BYTES}")
    if not data:
        raise RecordError("the file is empty; a power cut during writing leaves such files")
    line = data.decode("utf-8", "backslashreplace")
    if "\0" in line:
        raise RecordError("the file holds NUL bytes; a power cut during writing leaves such files")
    line = line.removesuffix("\n")
    if "\n" in line or "\r" in line:
        raise RecordError("expected one line that ends with a newline or with nothing, found more")
    return _parse_pour(line) if name.endswith(POUR_SUFFIX) else _parse_reading(line)


def format_record(record: Record) -> bytes:
    """The content of a spool file that holds ``record``; `parse` gives it back."""
    if isinstance(record, Pour):
        line = f"{record.pin},{record.pulses},{record.elapsed_ms},{record.started_ms}"
    else:
        line = f"{record.sensor},{record.millidegrees},{record.taken_ms}"
    return line.encode("ascii") + b"\n"


def spool_suffix(record: Record) -> str:
    """The suffix of a spool file that holds ``record``."""
    return POUR_SUFFIX if isinstance(record, Pour) else READING_SUFFIX


def make_pour(pin: int, pulses: int, elapsed_ms: int, started_ms: int) -> Pour:
    """A pour whose values are within the bounds; `RecordError` names the one that is not."""
    _check("pin", pin, 0, MAX_PIN)
    _check("pulses", pulses, 1, MAX_PULSES)
    _check("elapsed", elapsed_ms, 0, MAX_ELAPSED_MS, " ms (a day)")
    _check_time("started", started_ms)
    return Pour(pin, pulses, elapsed_ms, started_ms)


def make_reading(sensor: str, millidegrees: int, taken_ms: int) -> Reading:
    """A reading whose values are within the bounds; `RecordError` names the one that is not."""
    if not is_sensor(sensor):
        raise RecordError(f"sensor is {sensor!r}, expected a 1-Wire id such as 28-0316a2795c5b")
    _check("millidegrees", millidegrees, MIN_MILLIDEGREES, MAX_MILLIDEGREES)
    if millidegrees == NO_TEMPERATURE:
        raise RecordError("millidegrees is -1, which no sensor reads: on the wire it means no reading")
    _check_time("taken", taken_ms)
    return Reading(sensor, millidegrees, taken_ms)


def make_heartbeat(at_ms: int) -> Heartbeat:
    """A heartbeat whose time is within the bounds; else `RecordError`."""
    _check_time("at", at_ms)
    return Heartbeat(at_ms)


def time_ms(record: Record | Heartbeat) -> int:
    """When it happened, in Unix milliseconds."""
    match record:
        case Pour(started_ms=at_ms) | Reading(taken_ms=at_ms) | Heartbeat(at_ms=at_ms):  # pragma: no branch
            return at_ms


def format_celsius(millidegrees: int) -> str:
    """``3875`` as ``3.9 °C``."""
    return f"{millidegrees / 1000:.1f} °C"


def _parse_pour(line: str) -> Pour:
    names = ("pin", "pulses", "elapsed", "started")
    return _bound_pour(*map(parse_natural, names, _split(line, names)))


def _bound_pour(pin: int, pulses: int, elapsed: int, started: int) -> Pour:
    if FIRST_SECOND <= started < END_OF_SECONDS:
        # A meter gives at least one pulse a second and fewer than a thousand: as many as the seconds of its pour, and
        # fewer than its milliseconds.
        if elapsed > pulses:
            raise RecordError(
                f"started is {started}, a time in seconds, and elapsed is {elapsed}, more seconds than the "
                f"{pulses} pulses can take: {_TORN}"
            )
        elapsed *= 1000
        started *= 1000
    return make_pour(pin, pulses, elapsed, started)


def _parse_reading(line: str) -> Reading:
    sensor, millidegrees, taken = _split(line, ("sensor", "millidegrees", "taken"))
    return make_reading(sensor[:40], parse_integer("millidegrees", millidegrees), parse_natural("taken", taken))


def _split(line: str, names: tuple[str, ...]) -> list[str]:
    fields = line.split(",")
    if len(fields) != len(names):
        raise RecordError(f"expected {len(names)} fields {','.join(names)}, found {len(fields)}: {line[:80]!r}")
    return fields


def _check(name: str, value: int, low: int, high: int, unit: str = "") -> None:
    if not low <= value <= high:
        raise RecordError(f"{name} is {value}, expected {low} to {high}{unit}")


def _check_time(name: str, unix_ms: int) -> None:
    if unix_ms < FIRST_MS:
        raise RecordError(f"{name} is {unix_ms} ms, a time before 2001: {_TORN}")
    if unix_ms > LAST_MS:
        raise RecordError(f"{name} is {unix_ms} ms, a time after 2099: fix what wrote it, or its clock")
