"""Its channels and what is sent on them.

A message is ``{"channel": NAME, "data": TEXT}``, where the text is JSON once more. What clients publish is passed on as
it is. ``_appsettings``, ``_profiles`` and ``_iocontrollers`` tell of changes; the hub's own channels (``pours``,
``taps``) are sent, too, and nobody publishes there.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from kegnet_client.hub.maelstrom import shapes
from kegnet_client.hub.store import bodies, house
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.events import Event

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
INTERNAL = {"_appsettings": "settings", "_profiles": "profiles", "_iocontrollers": "controllers"}
"""Its channels of changes, and ours that tell of them."""
OWN = frozenset({"pours", "temperatures", "reset", *(house.channel_of(kind) for kind in bodies.KINDS)})
"""Channels that are the hub's to speak on."""
KNOWN = ("data", "logs", "alarms", "chart", "lcd")
MAX_LOGS = 200
MAX_ALARMS = 100
MAX_DATA = 500
_EVENT_TYPES = {"new": "create", "changed": "update", "ended": "delete"}
PONG = json.dumps({"channel": "_heartbeat", "data": json.dumps({"payload": {"action": "pong"}})})


def source_of(channel: str) -> str | None:
    """Our channel behind ``channel``; None where there is no such channel."""
    if channel in INTERNAL:
        return INTERNAL[channel]
    return channel if NAME.fullmatch(channel) else None


def frame(channel: str, data: str) -> str:
    """A message as it is sent."""
    return json.dumps({"channel": channel, "data": data})


def frames_of(event: Event, channels: set[str]) -> list[str]:
    """The messages that tell ``event`` to one who has subscribed ``channels``."""
    body = json.loads(event.body)
    found = []
    if event.channel in channels:
        if event.channel == "alarms":
            found.append(frame(event.channel, json.dumps({"channel": "alarms", "payload": alarms_payload(body)})))
        elif isinstance(body, dict) and isinstance(body.get("data"), str) and event.channel not in OWN:
            found.append(frame(event.channel, body["data"]))
        else:
            found.append(frame(event.channel, json.dumps({"channel": event.channel, "payload": body})))
    for internal, source in INTERNAL.items():
        if internal in channels and event.channel == source:
            payload = _CHANGES[internal](body)
            found.append(frame(internal, json.dumps({"channel": internal, "payload": payload})))
    return found


def alarms_payload(told: dict[str, Any]) -> dict[str, Any]:
    """Those that stand; an empty list would be shown as one more to acknowledge, so where none stands there is none."""
    payload: dict[str, Any] = {}
    if told["standing"]:
        payload["alarms"] = [{name: one[name] for name in ("source", "code", "msg")} for one in told["standing"]]
    if told["acknowledged"]:
        payload["acknowledge"] = True
    return payload


def alarms_published(data: str) -> tuple[list[tuple[str, str, str]], bool]:
    """Source, code and text of the alarms that ``data`` says, and whether it acknowledges; `ShapeError` if neither."""
    try:
        payload = json.loads(data)["payload"]
        said = [(str(one["source"]), str(one["code"]), str(one["msg"])) for one in payload.get("alarms", [])]
        is_known = payload.get("acknowledge") is True
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        said, is_known = [], False
    if (not said and not is_known) or len(said) > MAX_ALARMS:
        raise shapes.ShapeError(
            f'alarms are {{"channel": "alarms", "payload": {{"alarms": [{{"source", "code", "msg"}}]}}}} with 1 to '
            f'{MAX_ALARMS} of them, or {{"payload": {{"acknowledge": true}}}}'
        )
    return said, is_known


def last_of_each_controller(events: list[Event]) -> list[Event]:
    """The newest of ``events`` of each controller, in their order; those that name none are left out."""
    last: dict[str, Event] = {}
    for event in events:
        try:
            payload = json.loads(json.loads(event.body)["data"])["payload"]
            number = json.dumps(payload["controllerId"])
        except (ValueError, KeyError, TypeError):
            continue
        last.pop(number, None)
        last[number] = event
    return list(last.values())


def _settings_change(body: dict[str, Any]) -> dict[str, Any]:
    return {"eventType": "change", "settings": shapes.show_settings(body["others"])}


def _profile_change(body: dict[str, Any]) -> dict[str, Any]:
    if body["change"] == "ended":
        return {"eventType": "delete", "profileId": body["id"]}
    return {"eventType": _EVENT_TYPES[body["change"]], "profile": shapes.show_profile(_entry("profile", body), None)}


def _controller_change(body: dict[str, Any]) -> dict[str, Any]:
    if body["change"] == "ended":
        return {"eventType": "delete", "controllerId": body["id"]}
    return {
        "eventType": _EVENT_TYPES[body["change"]],
        "controller": shapes.show_controller(_entry("controller", body)),
    }


def _entry(kind: str, body: dict[str, Any]) -> Entry:
    return Entry(body["entry"], kind, body["id"], body, body["said_by"], body["recorded_ms"])


_CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "_appsettings": _settings_change,
    "_profiles": _profile_change,
    "_iocontrollers": _controller_change,
}
