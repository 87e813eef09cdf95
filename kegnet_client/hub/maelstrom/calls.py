"""What its calls that change something do, within one transaction: for clients, and for the page that tries it out.

Who asks has been let pass before. Raises `ShapeError`, pydantic's ``ValidationError`` and what `house.say` raises;
nothing is kept then.
"""

from collections.abc import Mapping
from functools import partial

from sqlalchemy import Connection

from kegnet_client.core.errors import KegnetError
from kegnet_client.hub.domain.alarms import Alarm, Key, Moment, acknowledge
from kegnet_client.hub.domain.alarms import publish as publish_one
from kegnet_client.hub.maelstrom import channels, shapes
from kegnet_client.hub.store import alarms, bodies, entries, events, house
from kegnet_client.hub.store.entries import Entry

MAX_DATA_CHARACTERS = 64 * 1024


class UnsupportedError(KegnetError):
    """Nobody but the hub speaks on this channel, or there is none of this name."""


def publish(connection: Connection, channel: str, data: str, who: str, now_ms: int) -> None:
    """Pass ``data`` on to everybody who has subscribed ``channel``; alarms are real ones. Raises `UnsupportedError`."""
    if not channels.NAME.fullmatch(channel) or channel in channels.OWN:
        known = ", ".join(channels.KNOWN)
        raise UnsupportedError(
            f"Unsupported channel: {channel[:64]!a}. There are {known}, and others of small letters, digits, "
            "- and _ that are not the hub's own"
        )
    if channel == "alarms":
        _publish_alarms(connection, data, who, now_ms)
    else:
        events.append(connection, now_ms, [(channel, {"data": data, "said_by": who})])


def say_settings(connection: Connection, sent: object, who: str, now_ms: int) -> Entry:
    """Let each setting that was ``sent`` replace that of the same name."""
    entries.lock(connection)
    holding = house.read_settings(connection)
    others = {**holding.others, **shapes.settings_sent(sent)}
    body = bodies.Settings.model_validate({**holding.model_dump(), "others": others})
    return house.say(connection, "settings", house.SETTINGS, body, who, now_ms)


def say_profile(connection: Connection, number: int | None, sent: object, who: str, now_ms: int) -> Entry:
    """Another profile, or another state of the one with this number; what is left out stays."""
    entries.lock(connection)
    before = None if number is None else find(connection, "profile", number).body
    unit = "F" if house.read_settings(connection).units == "us" else "C"
    body = bodies.Profile.model_validate(shapes.profile_body(sent, before, unit))
    return house.say(connection, "profile", number, body, who, now_ms)


def say_controller(connection: Connection, number: int | None, sent: object, who: str, now_ms: int) -> Entry:
    """Another controller, or another state of the one with this number; what is left out stays."""
    entries.lock(connection)
    before = None if number is None else find(connection, "controller", number).body
    body = bodies.Controller.model_validate(shapes.controller_body(sent, before))
    return house.say(connection, "controller", number, body, who, now_ms)


def find(connection: Connection, kind: str, number: int) -> Entry:
    """What holds of a subject that was not ended; else `house.UnknownError`."""
    entry = entries.read_one(connection, kind, number)
    if entry is None or entry.body.get("ended_ms") is not None:
        raise house.UnknownError("no-such", kind=kind, number=number)
    return entry


def _publish_alarms(connection: Connection, data: str, who: str, now_ms: int) -> None:
    """Let them be alarms like others: kept, shown, and standing until they are acknowledged."""
    said, is_known = channels.alarms_published(data)
    for source, code, text in said:
        alarms.happen(connection, now_ms, partial(publish_one, source=source, code=code, text=text, now_ms=now_ms))
    if is_known:
        alarms.happen(connection, now_ms, partial(_acknowledge_all, who=who, now_ms=now_ms))


def _acknowledge_all(found: Mapping[Key, Alarm], who: str, now_ms: int) -> list[Moment]:
    return [moment for alarm in found.values() for moment in acknowledge(alarm, who, now_ms)]
