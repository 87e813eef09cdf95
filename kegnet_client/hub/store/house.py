"""What people say takes effect here: it is checked against what holds, kept, followed up and told, in one transaction.

From the entries about taps, kegs and calibrations follow the periods of every meter; from an adjustment, what its pour
was. Both are made anew from what holds after the entry: the order in which things were said makes no difference.
"""

from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select

from kegnet_client.hub.domain import meters
from kegnet_client.hub.domain.periods import (
    NEVER_MS,
    Calibration,
    KegAtTap,
    MeterAtTap,
    Period,
    find_overlap,
    lay_out,
)
from kegnet_client.hub.domain.refusal_texts import RefusalError
from kegnet_client.hub.store import bodies, entries, events, periods, schema
from kegnet_client.hub.store.entries import Entry

SETTINGS = 1
"""The one subject of its kind."""
_CHOSEN = {"settings", "adjustment"}
"""Kinds whose subjects have their numbers from elsewhere."""
_AT_METERS = {"tap", "keg", "calibration"}
_PLURALS = {"settings": "settings"}

_B = TypeVar("_B", bound=bodies.Body)


class WrongEntryError(RefusalError):
    """What is said does not go with what holds; ``field`` is where it says so."""

    def __init__(self, field: str, text: str, /, **fields: object) -> None:
        super().__init__(text, **fields)
        self.field = field


class UnknownError(RefusalError):
    """Nothing was ever said of this subject."""


def channel_of(kind: str) -> str:
    """Where entries of ``kind`` are told."""
    return _PLURALS.get(kind, f"{kind}s")


def say(
    connection: Connection,
    kind: str,
    subject: int | None,
    body: bodies.Body,
    said_by: str,
    now_ms: int,
    seen_id: int | None = None,
) -> Entry:
    """Let ``body`` hold of ``subject``, or of a new one (see `entries.say`).

    Raises `WrongEntryError`, `UnknownError`, and `entries.ChangedError`; nothing is kept then.
    """
    entries.lock(connection)
    was_known = subject is not None and entries.read_one(connection, kind, subject) is not None
    if subject is not None and kind not in _CHOSEN and not was_known:
        raise UnknownError("no-such", kind=kind, number=subject)
    _check_references(connection, subject, body)
    entry = entries.say(connection, kind, subject, body.model_dump(mode="json"), said_by, now_ms, seen_id)
    if kind in _AT_METERS:
        periods.replace(connection, _lay_out(connection))
    if isinstance(body, bodies.Adjustment):
        _adjust(connection, entry.subject, body)
    change = "ended" if body.ended_ms is not None else "changed" if was_known else "new"
    events.append(connection, now_ms, [(channel_of(kind), {**describe(entry), "change": change})])
    return entry


def describe(entry: Entry) -> dict[str, object]:
    """``entry`` as it is told and shown: the subject's number, what holds of it, and who said so when."""
    return {
        "id": entry.subject,
        **entry.body,
        "entry": entry.id,
        "said_by": entry.said_by,
        "recorded_ms": entry.recorded_ms,
    }


def read_settings(connection: Connection) -> bodies.Settings:
    """The settings that hold."""
    entry = entries.read_one(connection, "settings", SETTINGS)
    return bodies.Settings() if entry is None else bodies.Settings.model_validate(entry.body)


def _lay_out(connection: Connection) -> list[Period]:
    at_taps = [
        MeterAtTap(
            tap.subject, one.device, one.pin, meters.DEFAULTS[one.kind], one.from_ms, _end(one.until_ms, body.ended_ms)
        )
        for tap, body in _holding(connection, bodies.Tap)
        for one in body.meters
    ]
    at_taps = [one for one in at_taps if one.from_ms < one.until_ms]
    kegs = [
        KegAtTap(keg.subject, one.tap, one.from_ms, _end(one.until_ms, body.ended_ms))
        for keg, body in _holding(connection, bodies.Keg)
        for one in body.taps
    ]
    kegs = [one for one in kegs if one.from_ms < one.until_ms]
    calibrations = [
        Calibration(body.device, body.pin, body.nanolitres_per_pulse, body.from_ms)
        for _, body in _holding(connection, bodies.Calibration)
        if body.ended_ms is None and body.nanolitres_per_pulse is not None
    ]
    for meter in {(one.device, one.pin) for one in at_taps}:
        both = find_overlap(one for one in at_taps if (one.device, one.pin) == meter)
        if both is not None:
            raise WrongEntryError(
                "meters",
                "meter-at-two-taps",
                pin=meter[1],
                device=meter[0],
                first=both[0].tap,
                second=both[1].tap,
            )
    for tap in {one.tap for one in at_taps}:
        two = find_overlap(one for one in at_taps if one.tap == tap)
        if two is not None:
            raise WrongEntryError("meters", "two-meters", tap=tap)
    for tap in {one.tap for one in kegs}:
        rivals = find_overlap(one for one in kegs if one.tap == tap)
        if rivals is not None:
            raise WrongEntryError("taps", "two-kegs", first=rivals[0].keg, second=rivals[1].keg, tap=tap)
    return lay_out(at_taps, kegs, calibrations)


def _end(until_ms: int | None, ended_ms: int | None) -> int:
    return min(NEVER_MS if until_ms is None else until_ms, NEVER_MS if ended_ms is None else ended_ms)


def _holding(connection: Connection, kind: type[_B]) -> list[tuple[Entry, _B]]:
    """What holds of each subject that ``kind`` describes."""
    name = next(name for name, body in bodies.KINDS.items() if body is kind)
    return [(one, kind.model_validate(one.body)) for one in entries.read_all(connection, name)]


def _check_references(connection: Connection, subject: int | None, body: bodies.Body) -> None:
    named: list[tuple[str, str, int | None]] = []
    match body:
        case bodies.Keg():
            named = [("beverage", "beverage", body.beverage), *(("taps", "tap", one.tap) for one in body.taps)]
            if body.start_ml is not None and body.start_ml > body.size_ml:
                raise WrongEntryError("start_ml", "holds-no-more", size_ml=body.size_ml, start_ml=body.start_ml)
        case bodies.Adjustment():
            named = [("keg", "keg", body.keg)]
            if connection.scalar(select(schema.pours.c.id).where(schema.pours.c.id == subject)) is None:
                raise UnknownError("no-such", kind="pour", number=subject)
        case bodies.Run():
            named = [("profile", "profile", body.profile), ("controller", "controller", body.controller)]
            if (body.sensor is None) == (body.controller is None):
                raise WrongEntryError("sensor", "one-place")
    for field, kind, number in named:
        if number is not None and entries.read_one(connection, kind, number) is None:
            raise WrongEntryError(field, "no-such", kind=kind, number=number)


def _adjust(connection: Connection, pour: int, body: bodies.Adjustment) -> None:
    connection.execute(delete(schema.adjustments).where(schema.adjustments.c.pour == pour))
    if body.what == "none" or body.ended_ms is not None:
        return
    row = {
        "pour": pour,
        "volume_nl": None if body.volume_ml is None else round(body.volume_ml * meters.NANOLITRES_PER_ML),
        "keg": body.keg,
        "what": body.what,
        "reason": body.reason,
    }
    connection.execute(insert(schema.adjustments), row)
