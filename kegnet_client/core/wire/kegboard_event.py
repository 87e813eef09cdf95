"""The Kegboard event protocol, version 1, by which a Kegbot server of 2.0 hears of pours and temperatures.

One JSON object a request: who sends (``device``, ``boot_id``), and events with increasing ids. An event's time is the
server's now less its ``age_ms``. A pour is known again by its ``pour_id``, which here follows from the record, so that
it may be sent as often as need be. A 401 carries how the pairing stands, and once the token.

============= ============================================================================================
pour          ``meter_number``, ``pour_id``, ``volume_ml``, ``duration_ms``, ``ticks``, ``ml_per_tick``
temperature   ``sensor``, ``temp_c``
status        ``state``, ``fw_version``, ``uptime_ms``, ``events_dropped``, ``config``, ``meters``
============= ============================================================================================
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kegnet_client.core.records import Pour, Reading
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire.answer import Answer, quote
from kegnet_client.core.wire.base_url import ServerUrl
from kegnet_client.core.wire.batch import identify

CONTENT_TYPE = "application/json"
DEFAULT_ML_PER_TICK = 1 / 2.724
"""What Kegbot takes for a meter that nobody calibrated."""

_MIN_VOLUME_ML = 0.001
_CONFIG = {"heartbeat_ms": 60_000, "pour_update_ms": 0, "queue_capacity": 16}
_HEARD = 200
_UNPAIRED = 401


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened ``age_ms`` ago."""

    kind: str
    age_ms: int
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request, as a server reads it: ``events`` by their ids."""

    device: str
    boot_id: str
    events: Mapping[int, Event]


@dataclass(frozen=True, slots=True)
class Pairing:
    """How the pairing stands: ``pending``, ``allowed`` or ``denied``; the ``token`` comes once."""

    state: str
    token: str | None


def name_device(uuid: str) -> str:
    """What the device with this lower-case uuid is called where a person allows it."""
    return f"kegnet-{uuid[:8]}"


def name_meter(device: str, pin: int) -> str:
    """What the server calls the meter of ``pin``."""
    return f"{device}.flow{pin}"


def events_url(api: ServerUrl) -> str:
    """Where events go at the server whose API (``/api/v1``) is at ``api``."""
    return f"{api.url.removesuffix('/v1')}/kegboard-event"


def make_pour(pour: Pour, uuid: str, ml_per_tick: float, now_ms: int) -> Event:
    """That ``pour`` of the device with ``uuid`` is over."""
    identity = identify(pour, uuid)
    ended_ms = pour.started_ms + pour.elapsed_ms
    data = {
        "meter_number": pour.pin,
        "pour_id": "-".join((identity[:8], identity[8:12], identity[12:16], identity[16:20], identity[20:])),
        "volume_ml": max(round(pour.pulses * ml_per_tick, 3), _MIN_VOLUME_ML),
        "duration_ms": pour.elapsed_ms,
        "ticks": pour.pulses,
        "ml_per_tick": round(ml_per_tick, 4),
    }
    return Event("pour", max(0, now_ms - ended_ms), data)


def make_temperature(reading: Reading, now_ms: int) -> Event:
    """What ``reading`` says."""
    data = {"sensor": reading.sensor, "temp_c": reading.millidegrees / 1000}
    return Event("temperature", max(0, now_ms - reading.taken_ms), data)


def make_status(version: str, uptime_ms: int, meters: Mapping[int, float]) -> Event:
    """That the device is there, with the millilitres per tick of ``meters``, by their pins."""
    data: dict[str, object] = {
        "state": "heartbeat",
        "fw_version": version,
        "uptime_ms": uptime_ms,
        "events_dropped": 0,
        "config": _CONFIG,
    }
    if meters:
        data["meters"] = [
            {"meter_number": pin, "total_ticks": 0, "ml_per_tick": round(ml, 4)} for pin, ml in meters.items()
        ]
    return Event("status", 0, data)


def format_envelope(device: str, boot_id: str, uptime_ms: int, first_id: int, events: Sequence[Event]) -> bytes:
    """The request that tells of ``events``, whose ids begin with ``first_id``."""
    items = [
        {"id": number, "type": event.kind, "age_ms": event.age_ms, "data": event.data}
        for number, event in enumerate(events, first_id)
    ]
    content = {"v": 1, "device": device, "boot_id": boot_id, "sent_uptime_ms": uptime_ms, "events": items}
    return json.dumps(content, separators=(",", ":")).encode("ascii")


def parse_envelope(body: bytes) -> Envelope:
    """What a server reads in ``body``; `ValueError`, `KeyError` or `TypeError` where it is none."""
    fields: dict[str, Any] = json.loads(body)
    if fields["v"] != 1:
        raise ValueError("another version")
    events = {int(one["id"]): Event(one["type"], int(one["age_ms"]), dict(one["data"])) for one in fields["events"]}
    return Envelope(fields["device"], fields["boot_id"], events)


def is_heard(answer: Answer) -> bool:
    """Whether the events are the server's from here on."""
    return answer.status == _HEARD


def parse_pairing(answer: Answer) -> Pairing | None:
    """How the pairing stands, where that is what ``answer`` says."""
    if answer.status != _UNPAIRED:
        return None
    try:
        pairing = json.loads(answer.body)["pairing"]
        state, token = pairing["state"], pairing.get("token")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Pairing("pending", None)
    return Pairing(str(state), token if isinstance(token, str) and token.isprintable() and token.isascii() else None)


def judge_unpaired(pairing: Pairing, device: str, host: str) -> Verdict:
    """What it means that ``host`` does not know ``device``."""
    if pairing.state == "denied":
        remedy = f"{host} denies {device}; allow it there, on the page of its Kegboards"
    else:
        remedy = f"{host} does not know {device} yet; allow it there, on the page of its Kegboards"
    return Verdict(Disposition.MISCONFIGURED, remedy, _UNPAIRED, refused=True)


def judge_invalid(answer: Answer) -> Verdict | None:
    """What it means that the server calls an event wrong; None where that is not what it says."""
    if answer.status != 400:
        return None
    try:
        error = json.loads(answer.body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if error != "invalid":
        return None
    return Verdict(Disposition.REJECTED, f"the server answered 400{quote(answer.body)}", 400)
