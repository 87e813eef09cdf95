"""Its JSON to ours and back. Pure.

A profile there is ``{"id", "name", "type", "temperatures": [{"days", "temperature", "date", "profileId"}], "events":
[...]}``. A date is the start of the profile's run and so many days, without a zone; it is always worked out here and
never trusted. A controller is ``{"id", "name", "address", "port", "socket"}``, all text but the id.
"""

import datetime
from collections.abc import Mapping
from typing import Any

from kegnet_client.hub.store.entries import Entry

SUCCESS = {"status": "success"}
CONTROLLER_FIELDS = ("name", "address", "port", "socket")
DAY_S = 86_400


class ShapeError(Exception):
    """What was sent cannot be meant; the text says why."""


def to_number(value: object, field: str) -> float:
    """A number, also as text; `ShapeError` where it is none."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if not -1e9 < number < 1e9:  # not a number is neither
            raise ValueError
    except ValueError:
        raise ShapeError(f"{field}: {str(value)[:40]!r} is no number") from None
    return number


def profile_body(sent: object, before: Mapping[str, Any] | None, unit: str) -> dict[str, Any]:
    """The body of a profile out of what a client ``sent``; what it leaves out is as it was ``before``."""
    if not isinstance(sent, dict):
        raise ShapeError("expected an object")
    body: dict[str, Any] = {"name": "New", "type": "", "unit": unit, "temperatures": [], "events": []}
    body.update({key: value for key, value in (before or {}).items() if key in body})
    for field in ("name", "type"):
        if isinstance(sent.get(field), str):
            body[field] = sent[field].strip() or body[field]
    if sent.get("temperatures") is not None:
        points = [
            {
                "days": to_number(one.get("days"), "days"),
                "temperature": to_number(one.get("temperature"), "temperature"),
            }
            for one in _objects(sent["temperatures"], "temperatures")
        ]
        body["temperatures"] = sorted(points, key=lambda point: point["days"])
    if sent.get("events") is not None:
        body["events"] = [
            {
                "days": to_number(one.get("days", one.get("day")), "days"),
                "text": str(one.get("eventText", one.get("text", ""))),
            }
            for one in _objects(sent["events"], "events")
        ]
    return body


def show_profile(entry: Entry, started_ms: int | None) -> dict[str, Any]:
    """A profile as its clients read it; ``started_ms`` is the start of its run, if it runs."""
    body = entry.body
    return {
        "id": entry.subject,
        "name": body["name"],
        "type": body["type"],
        "temperatures": [
            {
                "days": _plain(point["days"]),
                "temperature": _plain(point["temperature"]),
                "date": _date(started_ms, point["days"]),
                "profileId": entry.subject,
            }
            for point in body["temperatures"]
        ],
        "events": [
            {
                "days": _plain(event["days"]),
                "eventText": event["text"],
                "date": _date(started_ms, event["days"]),
                "profileId": entry.subject,
            }
            for event in body["events"]
        ],
    }


def controller_body(sent: object, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The body of a controller out of what a client ``sent``; what it leaves out is as it was ``before``."""
    if not isinstance(sent, dict):
        raise ShapeError("expected an object")
    body: dict[str, Any] = {**dict.fromkeys(CONTROLLER_FIELDS, ""), "chambers": []}
    body.update({key: value for key, value in (before or {}).items() if key in body})
    for field in CONTROLLER_FIELDS:
        if isinstance(sent.get(field), str | int):
            body[field] = str(sent[field])
    return body


def show_controller(entry: Entry) -> dict[str, Any]:
    """A controller as its clients read it."""
    return {"id": entry.subject, **{field: entry.body[field] for field in CONTROLLER_FIELDS}}


def settings_sent(sent: object) -> dict[str, str]:
    """The settings that a client ``sent``, a list or a single one; one without a value is empty."""
    found = {}
    for one in _objects(sent if isinstance(sent, list) else [sent], "settings"):
        if not isinstance(one.get("name"), str) or not one["name"].strip():
            raise ShapeError("name: every setting has one")
        value = one.get("value")
        found[one["name"].strip()] = "" if value is None else str(value)
    return found


def show_settings(others: Mapping[str, str]) -> list[dict[str, str]]:
    """Settings as its clients read them."""
    return [{"name": name, "value": value} for name, value in sorted(others.items())]


def _objects(value: object, field: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ShapeError(f"{field}: expected a list of objects")
    return value


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number


def _date(started_ms: int | None, days: float) -> str:
    if started_ms is None:
        return ""
    try:
        at = datetime.datetime.fromtimestamp(started_ms // 1000 + round(days * DAY_S), datetime.UTC)
    except (OverflowError, ValueError):
        return ""
    return at.strftime("%Y-%m-%dT%H:%M:%S")
