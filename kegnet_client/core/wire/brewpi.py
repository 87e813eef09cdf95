"""BrewPi, a controller of temperatures, and what is published of it: both ends of the bridge between it and a hub.

A BrewPi takes one request a connection, a word without a line's end, and answers with one JSON document. What it shows
on its display comes as lines of text, ``Beer   65.1  --.- &degF``; its settings as an object. ``--.-`` is a sensor that
it does not have, and is passed on as it is: an old value in its place would look like a new one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from kegnet_client.core.errors import ControllerError

LCD = b"lcd"
SETTINGS = b"getControlSettings"
PROFILE_MODE = "p"
UNKNOWN = "0.0"
"""A value that was never shown."""
COMMUNICATION_ERROR = 1001
"""The code of an alarm about a controller that does not answer as one."""
FORM = "application/x-www-form-urlencoded"

MAX_LINES = 20
MAX_TEXT = 120
MAX_TEMPERATURE = 1000
MAX_CONTROLLERS = 64
MAX_PORT = 65535
MAX_ID = 2**31

# Right-aligned in five characters after a name of at most six: "Beer   65.1", "Fridge100.5", "Room  -10.5".
_SHOWN = re.compile(r"(Beer|Fridge|Room) *(--\.-|-?[0-9]{1,3}\.[0-9])(?![0-9])")
_NAMES = ("Beer", "Fridge", "Room")
_CLOSES = {b"[": b"]", b"{": b"}"}


@dataclass(frozen=True, slots=True)
class Controller:
    """One as the hub lists it: reached by the path ``socket``, or else by ``address`` and ``port``; all text."""

    id: int
    name: str
    address: str = ""
    port: str = ""
    socket: str = ""


@dataclass(frozen=True, slots=True)
class Display:
    """What stands on the display: ``values`` by name (Beer, Fridge, Room), as text; ``status`` is the last line."""

    values: Mapping[str, str] = field(default_factory=dict)
    status: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Set points in the controller's unit, None where there is none; ``profile`` is None but in profile mode."""

    beer: float | None = None
    fridge: float | None = None
    profile: str | None = None


def is_whole(reply: bytes) -> bool:
    """Whether ``reply`` is one whole document, so that nothing more has to be waited for."""
    text = reply.strip()
    if _CLOSES.get(text[:1]) != text[-1:]:  # which is quick, and may be asked for each byte that comes
        return False
    try:
        _decode(text)
    except ControllerError:
        return False
    return True


def parse_display(reply: bytes) -> Display:
    """What the answer to `LCD` says. Raises `ControllerError`."""
    lines = _decode(reply)
    if (
        not isinstance(lines, list)
        or not 1 <= len(lines) <= MAX_LINES
        or not all(isinstance(one, str) for one in lines)
    ):
        raise ControllerError("its display is not 1 to {most} lines of text", most=MAX_LINES)
    values: dict[str, str] = {}
    for line in lines[:-1]:
        if not line.startswith(_NAMES):
            continue
        shown = _SHOWN.match(line)
        if shown is None:
            raise ControllerError("its display shows no temperature in {line!a}", line=clean(line)[:40])
        values[shown[1]] = shown[2]
    return Display(values, clean(lines[-1]))


def parse_settings(reply: bytes) -> Settings:
    """What the answer to `SETTINGS` says. Raises `ControllerError`."""
    found = _decode(reply)
    if not isinstance(found, dict) or not isinstance(found.get("mode"), str):
        raise ControllerError("its settings are not an object with a mode")
    profile = found.get("profile")
    if found["mode"] != PROFILE_MODE:
        profile = None
    elif not isinstance(profile, str | None):
        raise ControllerError("its settings name no profile as text")
    return Settings(
        _set_point(found, "beerSet"), _set_point(found, "fridgeSet"), None if profile is None else clean(profile)
    )


def data_payload(controller: Controller, values: Mapping[str, str], status: str, settings: Settings) -> dict[str, Any]:
    """What is published of ``controller``; ``values`` are those shown last, by name."""
    payload: dict[str, Any] = {
        "controllerId": controller.id,
        "controllerName": controller.name,
        "fridge": values.get("Fridge", UNKNOWN),
        "fridgeSet": settings.fridge,
        "beer": values.get("Beer", UNKNOWN),
        "beerSet": settings.beer,
        "room": values.get("Room", UNKNOWN),
        "status": status,
    }
    if settings.profile is not None:
        payload["profile"] = settings.profile
    return payload


def alarm_payload(source: str, text: str) -> dict[str, Any]:
    """An alarm that ``source`` does not answer as a controller."""
    return {"alarms": [{"source": source, "code": COMMUNICATION_ERROR, "msg": text}]}


def log_payload(source: str, text: str) -> dict[str, Any]:
    """A line for the channel ``logs``."""
    return {"entries": [{"source": source, "msg": text, "code": COMMUNICATION_ERROR}]}


def publication(channel: str, payload: Mapping[str, Any]) -> bytes:
    """The form, of the type `FORM`, that publishes ``payload``."""
    data = json.dumps({"channel": channel, "payload": payload})
    return urlencode({"channel": channel, "data": data}).encode("ascii")


def parse_controllers(body: bytes) -> list[Controller]:
    """The controllers of a hub's list, `MAX_CONTROLLERS` at most. `ValueError` says why it is none."""
    try:
        entries = json.loads(body)["controllers"]
        found = [
            Controller(one["id"], clean(one["name"]), *(one[name].strip() for name in ("address", "port", "socket")))
            for one in entries
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError("it is no list of controllers") from None
    numbers = {one.id for one in found if type(one.id) is int and 0 <= one.id < MAX_ID}
    if len(numbers) != len(found):
        raise ValueError("a controller in it has no number of its own")
    if len(found) > MAX_CONTROLLERS:
        raise ValueError(f"it has {len(found)} controllers, more than {MAX_CONTROLLERS}")
    return found


def parse_port(text: str) -> int:
    """The port that ``text`` is. Raises `ControllerError`."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_PORT):
        raise ControllerError(
            "its port {port!a} is none; write a whole number from 1 to {most}", port=text[:20], most=MAX_PORT
        )
    return int(text)


def clean(text: str) -> str:
    """``text`` without what is not printable, `MAX_TEXT` characters at most."""
    return "".join(character if character.isprintable() else "?" for character in text[:MAX_TEXT])


def _decode(reply: bytes) -> Any:
    try:
        # A degree sign may come in any encoding; nothing that counts is outside of ASCII.
        return json.loads(reply.decode("utf-8", "replace"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        if not reply.strip():
            raise ControllerError("it closed the connection without an answer") from None
        raise ControllerError("its answer of {count} bytes is not one whole JSON document", count=len(reply)) from None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _set_point(found: Mapping[str, Any], name: str) -> float | None:
    value = found.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not -MAX_TEMPERATURE <= value <= MAX_TEMPERATURE:
        raise ControllerError("its {name} is no temperature", name=name)
    return float(value) if isinstance(value, float) else int(value)
