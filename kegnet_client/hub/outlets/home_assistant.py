"""The taps as MQTT messages that Home Assistant understands. It reads the store and sends nothing.

Each tap is a device: one retained message describes it with all its components, one holds its state, one says whether
its level is of now, and one is its temperature. A sensor at no tap is a device, too. Topics are made of numbers alone;
names that people have typed stand in JSON only. A tap that ended, and a sensor that is none any more, are removed by
empty messages. A temperature is not retained and ends with its age: a broker would give an old one as new.
"""

import datetime
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

import kegnet_client
from kegnet_client.hub.api import taps
from kegnet_client.hub.domain.alarms import Alarm, at_tap
from kegnet_client.hub.domain.levels import STALE_MS
from kegnet_client.hub.domain.periods import Meter
from kegnet_client.hub.store import alarms, entries, readings, schema, volumes
from kegnet_client.hub.store.hearing import find_silent, read_meters

DISCOVERY = "homeassistant"
"""Home Assistant's own prefix, under which it says that it has started, too."""
EXPIRES_S = STALE_MS // 1000
"""A temperature that is older is none any more."""
OFFLINE = "offline"
ONLINE = "online"
_LEVEL = ("left", "level", "poured")
"""What is known as long as the device that counts there is heard of."""
_OF_KEG = ("left_l", "level_percent", "poured_l", "keg_since", "last_pour", "last_poured_l")
_NANOLITRES_PER_LITRE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """``payload`` for ``topic``; an empty one that is retained removes what the broker holds."""

    topic: str
    payload: str
    retain: bool = True


def availability_topic(hub: str) -> str:
    """Where the hub with the id ``hub`` says whether it is there."""
    return f"kegnet/{hub}/availability"


def read_messages(connection: Connection, hub: str, now_ms: int) -> list[Message]:
    """All that there is to say now."""
    known = entries.read_all(connection, "tap")
    holding = [one for one in known if one.body.get("ended_ms") is None]
    standing = [alarm for _, alarm in alarms.read_standing(connection).values()]
    meters = read_meters(connection, now_ms)
    messages = []
    for tap in taps.show(connection, holding, now_ms):
        number = tap["id"]
        meter = meters[number].meter if number in meters else None
        state = _state(tap, _last_poured_nl(connection, tap["keg"]), standing, meter, now_ms)
        is_silent = find_silent(meters, [number], now_ms) is not None
        messages += [
            Message(_discovery_topic(hub, f"tap_{number}"), _dump(_describe_tap(hub, number, tap["name"]))),
            Message(_tap_topic(hub, number, "availability"), OFFLINE if is_silent else ONLINE),
            Message(_tap_topic(hub, number, "state"), _dump(state)),
            Message(
                _tap_topic(hub, number, "temperature"), _dump(_temperature(tap["temperature"], now_ms)), retain=False
            ),
        ]
    for one in known:
        if one.body.get("ended_ms") is not None:
            topics = [_tap_topic(hub, one.subject, what) for what in ("availability", "state")]
            messages += [Message(topic, "") for topic in (_discovery_topic(hub, f"tap_{one.subject}"), *topics)]
    at_taps = {one.body["sensor"] for one in holding if one.body.get("sensor") is not None}
    return messages + _read_sensors(connection, hub, at_taps, now_ms)


def _read_sensors(connection: Connection, hub: str, at_taps: Set[str], now_ms: int) -> list[Message]:
    """Those at no tap; those at one are told with it."""
    messages = []
    for sensor in readings.read_sensors(connection, now_ms):
        row = None if sensor in at_taps else readings.read_last_told(connection, sensor)
        if row is not None:
            reading = {"millidegrees": row.millidegrees, "taken_ms": row.taken_ms}
            described = _describe_sensor(hub, sensor, f"{row.name} {sensor}")
            messages += [
                Message(_discovery_topic(hub, _sensor_word(sensor)), _dump(described)),
                Message(_sensor_topic(hub, sensor), _dump(_temperature(reading, now_ms)), retain=False),
            ]
    for sensor in sorted({*at_taps, *readings.read_gone(connection, now_ms)}):
        messages.append(Message(_discovery_topic(hub, _sensor_word(sensor)), ""))
    return messages


def _discovery_topic(hub: str, word: str) -> str:
    return f"{DISCOVERY}/device/kegnet_{hub}_{word}/config"


def _tap_topic(hub: str, tap: int, what: str) -> str:
    return f"kegnet/{hub}/tap/{tap}/{what}"


def _sensor_word(sensor: str) -> str:
    return f"sensor_{sensor.replace('-', '_')}"


def _sensor_topic(hub: str, sensor: str) -> str:
    return f"kegnet/{hub}/sensor/{sensor.replace('-', '_')}/temperature"


def _describe_tap(hub: str, tap: int, name: str) -> dict[str, Any]:
    """The discovery message of a tap."""
    components: dict[str, dict[str, Any]] = {
        "left": _sensor("Beer left", "left_l", "L", device_class="volume_storage", state_class="measurement"),
        "level": _sensor("Level", "level_percent", "%", state_class="measurement"),
        "last_poured": _sensor("Last poured", "last_poured_l", "L", device_class="volume"),
        "poured": _sensor(
            "Poured",
            "poured_l",
            "L",
            device_class="volume",
            state_class="total",
            # It begins anew with each keg.
            last_reset_value_template="{{ value_json.keg_since or '' }}",
        ),
        "last_pour": _sensor("Last pour", "last_pour", None, device_class="timestamp"),
        "temperature": _describe_temperature(_tap_topic(hub, tap, "temperature")),
        "alarm": {
            "platform": "binary_sensor",
            "name": "Alarm",
            "device_class": "problem",
            "value_template": "{{ value_json.alarm }}",
        },
    }
    both = [{"topic": availability_topic(hub)}, {"topic": _tap_topic(hub, tap, "availability")}]
    for key in _LEVEL:
        components[key] |= {"availability": both, "availability_mode": "all"}
    return {
        **_describe(hub, f"tap_{tap}", name, "Tap", components),
        "state_topic": _tap_topic(hub, tap, "state"),
    }


def _describe_sensor(hub: str, sensor: str, name: str) -> dict[str, Any]:
    """The discovery message of a sensor at no tap."""
    topic = _sensor_topic(hub, sensor)
    components = {"temperature": _describe_temperature(topic)}
    return _describe(hub, _sensor_word(sensor), name, "Thermometer", components)


def _describe(hub: str, word: str, name: str, model: str, components: dict[str, dict[str, Any]]) -> dict[str, Any]:
    unique_id = f"kegnet_{hub}_{word}"
    return {
        "device": {
            "identifiers": [unique_id],
            "name": name,
            "manufacturer": "KegNet",
            "model": model,
            "sw_version": kegnet_client.__version__,
        },
        "origin": {"name": "kegnet-client", "sw_version": kegnet_client.__version__},
        # A list, so that a component's own one takes its place.
        "availability": [{"topic": availability_topic(hub)}],
        "components": {key: {**component, "unique_id": f"{unique_id}_{key}"} for key, component in components.items()},
    }


def _describe_temperature(topic: str) -> dict[str, Any]:
    return {
        **_sensor("Temperature", "celsius", "°C", device_class="temperature", state_class="measurement"),
        "state_topic": topic,
        "expire_after": EXPIRES_S,
    }


def _sensor(name: str, field: str, unit: str | None, **more: Any) -> dict[str, Any]:
    found = {"platform": "sensor", "name": name, "value_template": f"{{{{ value_json.{field} }}}}", **more}
    return found if unit is None else {**found, "unit_of_measurement": unit}


def _state(
    tap: dict[str, Any], last_poured_nl: int | None, standing: Iterable[Alarm], meter: Meter | None, now_ms: int
) -> dict[str, Any]:
    keg = tap["keg"]
    is_wrong = at_tap(standing, None if keg is None else keg["id"], tap["sensor"], meter)
    state: dict[str, Any] = {"alarm": "ON" if is_wrong else "OFF"}
    if keg is None:
        return {**state, **dict.fromkeys(_OF_KEG)}
    since_ms = max(one["from_ms"] for one in keg["taps"] if one["tap"] == tap["id"] and one["from_ms"] <= now_ms)
    return {
        **state,
        "left_l": round(keg["left_ml"] / 1000, 3),
        "level_percent": keg["left_percent"],
        "poured_l": round(keg["poured_ml"] / 1000, 3),
        "keg_since": _time(since_ms),
        "last_pour": None if keg["last_pour_ms"] is None else _time(keg["last_pour_ms"]),
        "last_poured_l": None if last_poured_nl is None else round(last_poured_nl / _NANOLITRES_PER_LITRE, 3),
    }


def _last_poured_nl(connection: Connection, keg: dict[str, Any] | None) -> int | None:
    """The volume of the pour that ``keg`` ran for last."""
    if keg is None or keg["last_pour_ms"] is None:
        return None
    statement = volumes.SELECT_POURS.where(
        schema.pours.c.started_ms == keg["last_pour_ms"], volumes.KEG.in_([keg["id"]])
    ).order_by(schema.pours.c.id.desc())
    row = connection.execute(statement.limit(1)).first()
    return None if row is None else row.volume_nl


def _temperature(reading: Mapping[str, int] | None, now_ms: int) -> dict[str, Any]:
    if reading is None or now_ms - reading["taken_ms"] > EXPIRES_S * 1000:
        return {"celsius": None}
    return {"celsius": reading["millidegrees"] / 1000, "taken": _time(reading["taken_ms"])}


def _time(unix_ms: int) -> str:
    return datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC).isoformat(timespec="seconds")


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
