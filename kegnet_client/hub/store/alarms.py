"""Alarms as rows: those that stand, what happens to them, and who is told.

What happens is kept and told in one transaction, in which the standing alarms are read again under a lock: several hub
processes that judge the same raise one alarm.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from kegnet_client.hub.domain.alarms import PUBLISHED, Alarm, Key, Moment, State, acknowledge, live
from kegnet_client.hub.store import events, schema
from kegnet_client.hub.store.house import UnknownError

CHANNEL = "alarms"
MAX_STANDING = 1000
"""More are not raised: each would be one more than anybody reads."""
MAX_TOLD = 100
_LOCK = int.from_bytes(b"alarms")

Standing = dict[Key, tuple[int, Alarm]]
"""The alarms that stand, with their numbers."""


def read_standing(connection: Connection) -> Standing:
    """The alarms that stand, the oldest first."""
    table = schema.alarms
    rows = connection.execute(select(table).where(table.c.standing.is_(True)).order_by(table.c.id))
    return {(row.rule, row.subject): (row.id, _alarm(row)) for row in rows}


def read_history(connection: Connection, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """The last ``limit`` alarms before number ``before``, the newest first, with all that happened to each."""
    table, moments = schema.alarms, schema.alarm_moments
    statement = select(table).order_by(table.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(table.c.id < before)
    found = [describe(row.id, _alarm(row)) for row in connection.execute(statement)]
    numbers = [one["id"] for one in found]
    life: dict[int, list[dict[str, Any]]] = {number: [] for number in numbers}
    columns = (moments.c.what, moments.c.at_ms, moments.c.text, moments.c.said_by)
    for number, *rest in connection.execute(
        select(moments.c.alarm, *columns).where(moments.c.alarm.in_(numbers)).order_by(moments.c.id)
    ):
        life[number].append(dict(zip(("what", "at_ms", "text", "said_by"), rest, strict=True)))
    return [{**one, "life": life[one["id"]]} for one in found]


def happen(
    connection: Connection, now_ms: int, decide: Callable[[Mapping[Key, Alarm]], Sequence[Moment]]
) -> list[Moment]:
    """Let happen what ``decide`` says in view of the standing alarms; what did happen."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    standing = read_standing(connection)
    moments = list(decide({key: alarm for key, (_, alarm) in standing.items()}))
    done = []
    for moment in moments:
        number, alarm = standing.get(moment.key, (None, None))
        if alarm is None and len(standing) >= MAX_STANDING:
            continue
        changed = live(alarm, moment)
        number = _keep(connection, number, changed, moment)
        standing[moment.key] = (number, changed)
        if changed.state is State.ENDED:
            del standing[moment.key]
        done.append((number, changed, moment))
    news = [
        (CHANNEL, {"alarm": describe(number, changed), "what": moment.what.value, **told(standing)})
        for number, changed, moment in done
    ]
    events.append(connection, now_ms, news)
    return [moment for _, _, moment in done]


def acknowledge_one(connection: Connection, number: int, said_by: str, now_ms: int) -> None:
    """Say that ``said_by`` knows of the alarm ``number``; `UnknownError` unless it stands."""
    key = next((key for key, (known, _) in read_standing(connection).items() if known == number), None)
    if key is None:
        raise UnknownError("no-standing-alarm", number=number)

    def decide(found: Mapping[Key, Alarm]) -> Sequence[Moment]:
        return acknowledge(found[key], said_by, now_ms) if key in found else []

    happen(connection, now_ms, decide)


def describe(number: int, alarm: Alarm) -> dict[str, Any]:
    """An alarm as it is shown and told."""
    rule, subject = alarm.key
    shown = asdict(alarm)
    del shown["key"]
    return {"id": number, "rule": rule, "subject": subject, "state": alarm.state.value, **shown}


def told(standing: Standing) -> dict[str, Any]:
    """All that stands by then, for those who show the whole list."""
    newest = list(standing.values())[-MAX_TOLD:]
    return {
        "standing": [{**_source_and_code(alarm.key), "msg": alarm.text, "id": number} for number, alarm in newest],
        "acknowledged": all(alarm.acknowledged_ms is not None for _, alarm in standing.values()),
    }


def _source_and_code(key: Key) -> dict[str, str | int]:
    """Who says so and with which code: of what was published its own, of ours the subject and the rule."""
    rule, subject = key
    if rule != PUBLISHED:
        return {"source": subject, "code": rule}
    source, _, code = subject.rpartition(" ")
    return {"source": source, "code": int(code) if code.isascii() and code.isdecimal() else code}


def _keep(connection: Connection, number: int | None, alarm: Alarm, moment: Moment) -> int:
    rule, subject = alarm.key
    row = {
        "rule": rule[:40],
        "subject": subject[:120],
        "text": alarm.text,
        "raised_ms": alarm.raised_ms,
        "times": alarm.times,
        "cleared_ms": alarm.cleared_ms,
        "acknowledged_ms": alarm.acknowledged_ms,
        "acknowledged_by": alarm.acknowledged_by,
        "standing": alarm.state is not State.ENDED,
    }
    table = schema.alarms
    if number is None:
        number = connection.execute(insert(table).returning(table.c.id), row).scalar_one()
    else:
        connection.execute(update(table).where(table.c.id == number).values(**row))
    said = {
        "alarm": number,
        "what": moment.what.value,
        "at_ms": moment.at_ms,
        "text": moment.text,
        "said_by": moment.by,
    }
    connection.execute(insert(schema.alarm_moments), said)
    return number


def _alarm(row: Row[Any]) -> Alarm:
    return Alarm(
        (row.rule, row.subject),
        row.text,
        row.raised_ms,
        row.times,
        row.cleared_ms,
        row.acknowledged_ms,
        row.acknowledged_by,
    )
