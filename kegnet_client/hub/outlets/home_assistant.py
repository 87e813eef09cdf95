"""The taps as MQTT messages that Home Assistant understands. It reads the store and sends nothing.

Each tap is a device: one retained message describes it with all its components, one holds its state, and one its
temperature. Topics are made of numbers alone; names that people have typed stand in JSON only. A tap that ended is
removed by empty messages. A temperature is not retained and ends with its age: a broker would give an old one as new.
"""

import datetime
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

import kegnet_client
from kegnet_client.hub.api import taps
from kegnet_client.hub.domain.alarms import Alarm, at_tap
from kegnet_client.hub.store import alarms, entries, schema, volumes

DISCOVERY = "homeassistant"
"""Home Assistant's own prefix, under which it says that it has started, too."""
EXPIRES_S = 1800
"""A temperature that is older is none any more."""
OFFLINE = "offline"
ONLINE = "online"
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
    messages = []
    for tap in taps.show(connection, holding, now_ms):
        state = _state(tap, _last_poured_nl(connection, tap["keg"]), standing, now_ms)
        messages += [
            Message(_discovery_topic(hub, tap["id"]), _dump(_describe(hub, tap["id"], tap["name"]))),
            Message(_state_topic(hub, tap["id"]), _dump(state)),
            Message(_temperature_topic(hub, tap["id"]), _dump(_temperature(tap, now_ms)), retain=False),
        ]
    for one in known:
        if one.body.get("ended_ms") is not None:
            messages += [Message(_discovery_topic(hub, one.subject), ""), Message(_state_topic(hub, one.subject), "")]
    return messages


def _discovery_topic(hub: str, tap: int) -> str:
    return f"{DISCOVERY}/device/{_unique_id(hub, tap)}/config"


def _state_topic(hub: str, tap: int) -> str:
    return f"kegnet/{hub}/tap/{tap}/state"


def _temperature_topic(hub: str, tap: int) -> str:
    return f"kegnet/{hub}/tap/{tap}/temperature"


def _unique_id(hub: str, tap: int) -> str:
    return f"kegnet_{hub}_tap_{tap}"


def _describe(hub: str, tap: int, name: str) -> dict[str, Any]:
    """The discovery message of a tap."""
    unique_id = _unique_id(hub, tap)
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
        "temperature": {
            **_sensor("Temperature", "celsius", "°C", device_class="temperature", state_class="measurement"),
            "state_topic": _temperature_topic(hub, tap),
            "expire_after": EXPIRES_S,
        },
        "alarm": {
            "platform": "binary_sensor",
            "name": "Alarm",
            "device_class": "problem",
            "value_template": "{{ value_json.alarm }}",
        },
    }
    return {
        "device": {
            "identifiers": [unique_id],
            "name": name,
            "manufacturer": "KegNet",
            "model": "Tap",
            "sw_version": kegnet_client.__version__,
        },
        "origin": {"name": "kegnet-client", "sw_version": kegnet_client.__version__},
        "state_topic": _state_topic(hub, tap),
        "availability_topic": availability_topic(hub),
        "components": {key: {**component, "unique_id": f"{unique_id}_{key}"} for key, component in components.items()},
    }


def _sensor(name: str, field: str, unit: str | None, **more: Any) -> dict[str, Any]:
    found = {"platform": "sensor", "name": name, "value_template": f"{{{{ value_json.{field} }}}}", **more}
    return found if unit is None else {**found, "unit_of_measurement": unit}


def _state(tap: dict[str, Any], last_poured_nl: int | None, standing: Iterable[Alarm], now_ms: int) -> dict[str, Any]:
    keg = tap["keg"]
    meter = next(
        (
            (one["device"], one["pin"])
            for one in tap["meters"]
            if one["from_ms"] <= now_ms and (one["until_ms"] is None or now_ms < one["until_ms"])
        ),
        None,
    )
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


def _temperature(tap: dict[str, Any], now_ms: int) -> dict[str, Any]:
    reading = tap["temperature"]
    if reading is None or now_ms - reading["taken_ms"] > EXPIRES_S * 1000:
        return {"celsius": None}
    return {"celsius": reading["millidegrees"] / 1000, "taken": _time(reading["taken_ms"])}


def _time(unix_ms: int) -> str:
    return datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC).isoformat(timespec="seconds")


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
