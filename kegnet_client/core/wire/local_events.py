"""Kegbot's local events: what its sensor programs tell its core, and are told; JSON over TCP or a Redis channel.

``{"event": "MeterUpdate", "data": {"meter_name": "kegboard.flow0", "reading": 1200}}``

Over TCP (Kegbot 1.0) a message is compact, ends with two newlines, and calls a meter ``tap_name``; on Redis (1.1 and
later) it is indented and says ``meter_name``. Both are understood on either way. Between the producers of this program
it is as over TCP, and each event may go either way.

Security: `Splitter`, `parse_event` and `parse_any` take bytes from anybody on this machine. All bound what they keep.
"""

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from kegnet_client.core.errors import RecordError

PORT = 9805
CHANNEL = "kegnet"
ALL_METERS = "__all_taps__"
"""What a token is told for that is not for one tap."""
MAX_MESSAGE_BYTES = 16 * 1024
MAX_NAME = 100
MAX_READING = 2**32 - 1

_END = b"\n\n"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_METER = re.compile(r"(?P<board>[^\s.]+)\.flow(?P<number>0|[1-9][0-9]{0,2})", re.ASCII)
_RELAY = re.compile(r"(?P<board>[^\s.]+)\.relay(?P<number>[0-9])", re.ASCII)


@dataclass(frozen=True, slots=True)
class MeterUpdate:
    """A meter has counted ``reading`` pulses since its board's start."""

    meter_name: str
    reading: int


@dataclass(frozen=True, slots=True)
class ThermoEvent:
    """A sensor reads so many degrees Celsius."""

    sensor_name: str
    sensor_value: float


@dataclass(frozen=True, slots=True)
class FlowRequest:
    """Somebody wants ``start_flow``, ``stop_flow`` or ``report_status``."""

    meter_name: str
    request: str


@dataclass(frozen=True, slots=True)
class TokenAuthEvent:
    """A token was ``added`` to a device or ``removed`` from it."""

    meter_name: str
    auth_device_name: str
    token_value: str
    status: str


@dataclass(frozen=True, slots=True)
class ControllerConnectedEvent:
    """A board is there whose meters and relays are called after ``controller_name``."""

    controller_name: str


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """One that is not for us: what we said ourselves, or of a later Kegbot."""

    name: str


@dataclass(frozen=True, slots=True)
class FlowUpdate:
    """What flows; ``state`` is ``active`` or ``completed``."""

    flow_id: int
    meter_name: str
    state: str
    start_ms: int
    last_activity_ms: int
    ticks: int


@dataclass(frozen=True, slots=True)
class DrinkCreatedEvent:
    """A pour has become a record."""

    flow_id: int
    drink_id: int
    meter_name: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class SetRelayOutputEvent:
    """The relay ``kegboard.relay0`` has to be ``enabled`` or ``disabled``."""

    output_name: str
    output_mode: str


Heard = MeterUpdate | ThermoEvent | FlowRequest | TokenAuthEvent | ControllerConnectedEvent | OtherEvent
Said = FlowUpdate | DrinkCreatedEvent | SetRelayOutputEvent
PassedOn = FlowRequest | TokenAuthEvent | ControllerConnectedEvent

_REQUESTS = ("start_flow", "stop_flow", "report_status")
_STATUSES = ("added", "removed")
_STATES = ("active", "completed")
_MODES = ("enabled", "disabled")


class Splitter:
    """Makes messages of a connection's bytes; one that is longer than `MAX_MESSAGE_BYTES` is None, once."""

    def __init__(self) -> None:
        self._buffer = b""
        self._is_dropping = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """The messages that end in ``data``."""
        *ended, self._buffer = (self._buffer + data).split(_END)
        messages: list[bytes | None] = []
        for message in ended:
            if self._is_dropping:
                self._is_dropping = False
            elif len(message) > MAX_MESSAGE_BYTES:
                messages.append(None)
            elif message.strip():
                messages.append(message)
        if len(self._buffer) > MAX_MESSAGE_BYTES:
            if not self._is_dropping:
                messages.append(None)
            self._is_dropping = True
            self._buffer = self._buffer[-1:]  # which may be half of the end
        return messages


def parse_event(message: bytes) -> Heard:
    """What a sensor program says in ``message``. `RecordError` for what is no event."""
    name, data = _read(message)
    match name:
        case "MeterUpdate":
            return MeterUpdate(_meter(data), _whole(data, "reading"))
        case "ThermoEvent":
            return ThermoEvent(_text(data, "sensor_name"), _degrees(data))
        case "FlowRequest":
            return FlowRequest(_meter(data), _one_of(data, "request", _REQUESTS))
        case "TokenAuthEvent":
            return TokenAuthEvent(
                _meter(data, ALL_METERS),
                _text(data, "auth_device_name"),
                _text(data, "token_value"),
                _one_of(data, "status", _STATUSES),
            )
        case "ControllerConnectedEvent":
            return ControllerConnectedEvent(_text(data, "controller_name"))
    return OtherEvent(name[:MAX_NAME])


def parse_any(message: bytes) -> Heard | Said | PassedOn:
    """What ``message`` says, be it one that others only say. `RecordError` for what is no event."""
    name, data = _read(message)
    match name:
        case "FlowUpdate":
            return FlowUpdate(
                _whole(data, "flow_id"),
                _meter(data),
                _one_of(data, "state", _STATES),
                _unix_ms(data, "start_time"),
                _unix_ms(data, "last_activity_time"),
                _whole(data, "ticks"),
            )
        case "DrinkCreatedEvent":
            times = _unix_ms(data, "start_time"), _unix_ms(data, "end_time")
            return DrinkCreatedEvent(_whole(data, "flow_id"), _whole(data, "drink_id"), _meter(data), *times)
        case "SetRelayOutputEvent":
            return SetRelayOutputEvent(_text(data, "output_name"), _one_of(data, "output_mode", _MODES))
    return parse_event(message)


def format_tcp(event: Said | PassedOn) -> bytes:
    """``event`` as a program of Kegbot 1.0 reads it."""
    data = _data(event)
    if "meter_name" in data:
        data["tap_name"] = data.pop("meter_name")
    return json.dumps({"event": type(event).__name__, "data": data}, separators=(",", ":")).encode() + _END


def format_redis(event: Said | PassedOn) -> bytes:
    """``event`` as a program of Kegbot 1.1 and later reads it."""
    return json.dumps({"event": type(event).__name__, "data": _data(event)}, indent=2).encode()


def split_meter(meter_name: str) -> tuple[str, int]:
    """The board and the number of ``kegboard.flow0``; `RecordError` for a name that is no meter's."""
    found = _METER.fullmatch(meter_name)
    if found is None:
        raise RecordError(f"{meter_name!a} is not a meter's name, such as kegboard.flow0")
    return found["board"], int(found["number"])


def split_relay(output_name: str) -> tuple[str, int]:
    """The board and the number of ``kegboard.relay0``; `RecordError` for a name that is no relay's."""
    found = _RELAY.fullmatch(output_name)
    if found is None:
        raise RecordError(f"{output_name!a} is not a relay's name, such as kegboard.relay0")
    return found["board"], int(found["number"])


def relay_of(meter_name: str) -> str:
    """The relay beside the meter ``kegboard.flow0``: ``kegboard.relay0``."""
    board, number = split_meter(meter_name)
    return f"{board}.relay{number}"


def _read(message: bytes) -> tuple[str, dict[str, Any]]:
    try:
        found = json.loads(message.decode("utf-8"))
    except (ValueError, RecursionError):
        raise RecordError("it is not one JSON object in UTF-8") from None
    if not isinstance(found, dict) or not isinstance(found.get("event"), str):
        raise RecordError("it is not an object with an event, a name")
    data = found.get("data")
    if not isinstance(data, dict):
        raise RecordError(f"{found['event'][:MAX_NAME]!a} has no data, an object")
    return found["event"], data


def _data(event: Said | PassedOn) -> dict[str, Any]:
    match event:
        case FlowUpdate():
            return {
                "flow_id": event.flow_id,
                "meter_name": event.meter_name,
                "state": event.state,
                "username": "",
                "start_time": _time(event.start_ms),
                "last_activity_time": _time(event.last_activity_ms),
                "ticks": event.ticks,
            }
        case DrinkCreatedEvent():
            return {
                "flow_id": event.flow_id,
                "drink_id": event.drink_id,
                "meter_name": event.meter_name,
                "start_time": _time(event.start_ms),
                "end_time": _time(event.end_ms),
                "username": "",
            }
        case _:
            return asdict(event)


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms // 1000, UTC).strftime(_TIME)


def _meter(data: dict[str, Any], default: str | None = None) -> str:
    name = "meter_name" if "meter_name" in data else "tap_name"
    if default is not None and not data.get(name):
        return default
    return _text(data, name)


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME or not value.isprintable():
        raise RecordError(f"{name} is not a text of 1 to {MAX_NAME} characters")
    return value


def _one_of(data: dict[str, Any], name: str, values: tuple[str, ...]) -> str:
    value = data.get(name)
    if value not in values:
        raise RecordError(f"{name} is none of {', '.join(values)}")
    return str(value)


def _whole(data: dict[str, Any], name: str) -> int:
    value = data.get(name)
    if type(value) is not int or not 0 <= value <= MAX_READING:
        raise RecordError(f"{name} is not a whole number from 0 to {MAX_READING}")
    return value


def _unix_ms(data: dict[str, Any], name: str) -> int:
    try:
        return round(datetime.strptime(_text(data, name), _TIME).replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        raise RecordError(f"{name} is not a time such as 2026-01-01T12:00:00Z") from None


def _degrees(data: dict[str, Any]) -> float:
    value: Any = data.get("sensor_value")
    if type(value) not in (int, float) or not -MAX_READING <= value <= MAX_READING:
        raise RecordError("sensor_value is not a number of degrees")
    return float(value)
