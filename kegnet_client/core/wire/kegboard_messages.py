"""What a Kegboard says and is told, inside of the frames (`kegboard`): messages, and the names in them.

A message's payload is a sequence of fields: a tag (1 byte), a length (1 byte), the value; all numbers are
little-endian. Fields stand in any order; of a field that stands twice the last counts, and one with an unknown tag is
skipped, so that a newer board is understood for what is known of it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from kegnet_client.core.errors import RecordError
from kegnet_client.core.records import MAX_MILLIDEGREES, MAX_PIN, MIN_MILLIDEGREES, NO_TEMPERATURE

MAX_PAYLOAD_BYTES = 112
MAX_SERIAL_NUMBER = 28
"""Characters of a serial number that a board takes: with the NUL that ends it, they have to be less than 30 bytes."""
POWER_ON_MICRODEGREES = 85_000_000
"""What a sensor says before its first conversion."""

_METER = re.compile(r"flow(0|[1-9][0-9]{0,2})", re.ASCII)
_SENSOR = re.compile(r"thermo-([0-9a-f]{2})([0-9a-f]{12})([0-9a-f]{2})", re.ASCII)


class _Message:
    """A message in its original's spelling: ``<HelloMessage: firmware_version=8>``."""

    __slots__ = ()

    def values(self) -> dict[str, Any]:
        """Its fields by name, as JSON has them; those that it does not have are left out."""
        names = (field.name for field in fields(self))  # type: ignore[arg-type]  # each one is a dataclass
        found = {name: getattr(self, name) for name in names}
        return {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in found.items()
            if value is not None
        }

    def __str__(self) -> str:
        said = " ".join(f"{name}={_printable(value)}" for name, value in self.values().items())
        return f"<{type(self).__name__}: {said}>" if said else f"<{type(self).__name__}>"


@dataclass(frozen=True, slots=True)
class HelloMessage(_Message):
    """A board that is there: at its start, after a ping and, since version 18, every ten seconds."""

    firmware_version: int
    protocol_version: int | None = None
    serial_number: str | None = None
    uptime_ms: int | None = None
    """Since the last whole day of ``uptime_days``."""
    uptime_days: int | None = None


@dataclass(frozen=True, slots=True)
class ConfigurationMessage(_Message):
    """How a board is set up. It is documented, and no known board sends it."""

    board_name: str | None = None
    baud_rate: int | None = None
    update_interval: int | None = None
    watchdog_timeout: int | None = None


@dataclass(frozen=True, slots=True)
class MeterStatusMessage(_Message):
    """The pulses that the meter ``flow0`` has given since the board's start."""

    meter_name: str
    meter_reading: int


@dataclass(frozen=True, slots=True)
class TemperatureReadingMessage(_Message):
    """What the sensor ``thermo-7c0000009b596628`` reads, in millionths of a degree Celsius."""

    sensor_name: str
    sensor_reading: int

    def values(self) -> dict[str, Any]:
        """The reading is shown in degrees."""
        return {"sensor_name": self.sensor_name, "sensor_reading": self.sensor_reading / 1_000_000}


@dataclass(frozen=True, slots=True)
class OutputStatusMessage(_Message):
    """The output ``relay0`` is on or off."""

    output_name: str
    output_reading: bool


@dataclass(frozen=True, slots=True)
class OnewirePresenceMessage(_Message):
    """What boards before version 6 say of an iButton."""

    device_id: int
    status: int | None = None


@dataclass(frozen=True, slots=True)
class AuthTokenMessage(_Message):
    """The ``token`` of an iButton or card, in the order of the wire, came (``status`` 1) or went (0)."""

    device: str
    token: bytes
    status: int

    @property
    def token_value(self) -> str:
        """The token as people and servers write it."""
        return self.token[::-1].hex()


@dataclass(frozen=True, slots=True)
class PingCommand(_Message):
    """Have the board say hello."""


@dataclass(frozen=True, slots=True)
class SetOutputCommand(_Message):
    """Switch a relay (0 to 3). A board switches it off again ten seconds after it was told last."""

    output_id: int
    output_mode: bool


@dataclass(frozen=True, slots=True)
class SetSerialNumberCommand(_Message):
    """Give a serial number to a board that has none."""

    serial_number: str


Message = (
    HelloMessage
    | ConfigurationMessage
    | MeterStatusMessage
    | TemperatureReadingMessage
    | OutputStatusMessage
    | OnewirePresenceMessage
    | AuthTokenMessage
    | PingCommand
    | SetOutputCommand
    | SetSerialNumberCommand
)


@dataclass(frozen=True, slots=True)
class UnknownMessage(_Message):
    """A whole frame whose id says nothing to us."""

    message_id: int


@dataclass(frozen=True, slots=True)
class BadMessage(_Message):
    """A whole frame with fields that are not what they should be; ``reason`` says which."""

    message_id: int
    reason: str


class _Kind(NamedTuple):
    """How the value of a field is written: ``sizes`` are the numbers of bytes that it may have, () for any."""

    sizes: tuple[int, ...]
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


def _number(size: int, *, signed: bool = False) -> _Kind:
    return _Kind(
        (size,),
        lambda value: int.from_bytes(value, "little", signed=signed),
        lambda value: int(value).to_bytes(size, "little", signed=signed),
    )


def _decode_text(value: bytes) -> str | None:
    # A serial number that was never set is nothing but NULs.
    return value.strip(b"\0").decode("utf-8", "backslashreplace") or None


_UINT8, _UINT16, _UINT32, _UINT64 = (_number(size) for size in (1, 2, 4, 8))
_INT32 = _number(4, signed=True)
_TEXT = _Kind((), _decode_text, lambda value: str(value).encode("ascii"))
_ENDED_TEXT = _Kind((), _decode_text, lambda value: str(value).encode("ascii") + b"\0")
_BYTES = _Kind((), bytes, bytes)
_OUTPUT = _Kind((1, 2), any, lambda value: int(value).to_bytes(2, "little"))

_LAYOUTS: dict[int, tuple[type[Message], Mapping[int, tuple[str, _Kind]]]] = {
    0x01: (
        HelloMessage,
        {
            1: ("firmware_version", _UINT16),
            2: ("protocol_version", _UINT16),
            3: ("serial_number", _TEXT),
            4: ("uptime_ms", _UINT32),
            5: ("uptime_days", _UINT32),
        },
    ),
    0x02: (
        ConfigurationMessage,
        {
            1: ("board_name", _TEXT),
            2: ("baud_rate", _UINT16),
            3: ("update_interval", _UINT16),
            4: ("watchdog_timeout", _UINT16),
        },
    ),
    0x10: (MeterStatusMessage, {1: ("meter_name", _TEXT), 2: ("meter_reading", _UINT32)}),
    0x11: (TemperatureReadingMessage, {1: ("sensor_name", _TEXT), 2: ("sensor_reading", _INT32)}),
    0x12: (OutputStatusMessage, {1: ("output_name", _TEXT), 2: ("output_reading", _OUTPUT)}),
    0x13: (OnewirePresenceMessage, {1: ("device_id", _UINT64), 2: ("status", _UINT8)}),
    0x14: (AuthTokenMessage, {1: ("device", _TEXT), 2: ("token", _BYTES), 3: ("status", _UINT8)}),
    0x81: (PingCommand, {}),
    0x84: (SetOutputCommand, {1: ("output_id", _UINT8), 2: ("output_mode", _OUTPUT)}),
    0x85: (SetSerialNumberCommand, {1: ("serial_number", _ENDED_TEXT)}),
}
_IDS: dict[type[Message], int] = {made: number for number, (made, _) in _LAYOUTS.items()}


def format_message(message: Message) -> tuple[int, bytes]:
    """The id and the payload of ``message``; `ValueError` for a value that its field does not hold."""
    if isinstance(message, SetSerialNumberCommand) and not 0 < len(message.serial_number) <= MAX_SERIAL_NUMBER:
        raise ValueError(f"a serial number has 1 to {MAX_SERIAL_NUMBER} characters")
    message_id = _IDS[type(message)]
    payload = b""
    for tag, (name, kind) in _LAYOUTS[message_id][1].items():
        value = getattr(message, name)
        if value is None:
            continue
        try:
            encoded = kind.encode(value)
            payload += bytes((tag, len(encoded))) + encoded
        except (OverflowError, ValueError):
            raise ValueError(f"{name} cannot be {value!a}") from None
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a message has at most {MAX_PAYLOAD_BYTES} bytes of fields, this one has {len(payload)}")
    return message_id, payload


def parse_message(message_id: int, payload: bytes) -> Message | UnknownMessage | BadMessage:
    """The message in a whole frame."""
    layout = _LAYOUTS.get(message_id)
    if layout is None:
        return UnknownMessage(message_id)
    made, tags = layout
    values: dict[str, Any] = {}
    place = 0
    while place < len(payload):
        header, start = payload[place : place + 2], place + 2
        if len(header) < 2 or start + header[1] > len(payload):
            return BadMessage(message_id, "a field is longer than its message")
        place = start + header[1]
        if header[0] not in tags:
            continue
        name, kind = tags[header[0]]
        if kind.sizes and header[1] not in kind.sizes:
            return BadMessage(message_id, f"{name} has {header[1]} bytes")
        values[name] = kind.decode(payload[start:place])
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return made(**given)
    except TypeError:
        missing = next(field.name for field in fields(made) if field.name not in given)
        return BadMessage(message_id, f"{missing} is missing")


def meter_number(meter_name: str) -> int:
    """0 for ``flow0``, and so on; `RecordError` for a name that is no meter's."""
    found = _METER.fullmatch(meter_name)
    if found is None or int(found[1]) > MAX_PIN:
        raise RecordError(f"{meter_name[:40]!a} is not a meter's name, such as flow0")
    return int(found[1])


def kernel_sensor(sensor_name: str) -> str:
    """``thermo-7c0000009b596628`` as the kernel writes it, ``28-0000009b5966``; `RecordError` unless it is an id."""
    found = _SENSOR.fullmatch(sensor_name)
    if found is None:
        raise RecordError(f"{sensor_name[:40]!a} is not a sensor's name, such as thermo-7c0000009b596628")
    check, number, family = found.groups()
    # The name is the id from its last byte to its first one.
    if crc8(bytes.fromhex(number + family)[::-1]) != int(check, 16):
        raise RecordError(f"{sensor_name} fails its check sum: look at the wiring and the pull-up resistor (4.7 kΩ)")
    return f"{family}-{number}"


def sensor_name(kernel_id: str) -> str:
    """``28-0000009b5966`` as a board writes it: `kernel_sensor` the other way round."""
    family, number = kernel_id.split("-")
    return f"thermo-{crc8(bytes.fromhex(number + family)[::-1]):02x}{number}{family}"


def to_millidegrees(microdegrees: int) -> int:
    """Thousandths of a degree, truncated toward zero as the kernel does; `RecordError` for what is no temperature."""
    thousandths = abs(microdegrees) // 1000 * (1 if microdegrees >= 0 else -1)
    if microdegrees == POWER_ON_MICRODEGREES:
        raise RecordError("it says 85 °C, which is what a sensor says that has just lost its power")
    if not MIN_MILLIDEGREES <= thousandths <= MAX_MILLIDEGREES or thousandths == NO_TEMPERATURE:
        raise RecordError(f"it says {microdegrees / 1_000_000:g} °C, which is not a temperature")
    return thousandths


def crc8(data: bytes) -> int:
    """The check sum of 1-Wire: 0x7c of ``28 66 59 9b 00 00 00``."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


def _printable(value: object) -> str:
    text = ("off", "on")[value] if isinstance(value, bool) else str(value)
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
