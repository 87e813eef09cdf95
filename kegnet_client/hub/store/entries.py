"""What people say of taps, kegs and the rest, appended and never changed.

An entry says all of one subject: a keg, a tap, the settings. The last one holds; the others are its history. Who wants
to change a subject names the entry that he has seen, so that nobody undoes what he does not know of.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from kegnet_client.core.errors import KegnetError
from kegnet_client.hub.store import schema

_LOCK = int.from_bytes(b"entries")

Body = Mapping[str, Any]
"""What JSON has words for."""


class ChangedError(KegnetError):
    """Somebody else has changed the subject meanwhile: look again, and then change it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What ``said_by``, a token's name, said of a subject, which is a number among those of its kind."""

    id: int
    kind: str
    subject: int
    body: Body
    said_by: str
    recorded_ms: int


def lock(connection: Connection) -> None:
    """Let nobody else say anything until this transaction ends; whoever is to judge by what holds calls it first."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def say(
    connection: Connection,
    kind: str,
    subject: int | None,
    body: Body,
    said_by: str,
    now_ms: int,
    seen_id: int | None = None,
) -> Entry:
    """Append an entry about ``subject``, or about a new one; under `lock`.

    Raises `ChangedError` where ``seen_id`` is given and is not the entry that holds.
    """
    if subject is None:
        subject = connection.scalar(_NEXT.where(schema.entries.c.kind == kind)) or 1
    elif seen_id is not None:
        holding = read_one(connection, kind, subject)
        if holding is not None and holding.id != seen_id:
            raise ChangedError(f"{holding.said_by} has changed it meanwhile: look at it again, then change it")
    row = {
        "kind": kind,
        "subject": subject,
        "body": json.dumps(body, separators=(",", ":"), allow_nan=False),
        "said_by": said_by,
        "recorded_ms": now_ms,
    }
    entry_id = connection.execute(_APPEND, row).scalar_one()
    return Entry(entry_id, kind, subject, body, said_by, now_ms)


def read_all(connection: Connection, kind: str) -> list[Entry]:
    """What holds of each subject of ``kind``, in the order of their numbers."""
    return [_entry(row) for row in connection.execute(_HOLDING, {"kind": kind})]


def read_open(connection: Connection, kind: str) -> list[Entry]:
    """As `read_all`, without the subjects that were ended."""
    return [one for one in read_all(connection, kind) if one.body.get("ended_ms") is None]


def read_one(connection: Connection, kind: str, subject: int) -> Entry | None:
    """What holds of ``subject``, if anything was said."""
    row = connection.execute(_NEWEST, {"kind": kind, "subject": subject}).first()
    return None if row is None else _entry(row)


def read_history(connection: Connection, kind: str, subject: int) -> list[Entry]:
    """All that was said of ``subject``, the oldest first."""
    return [_entry(row) for row in connection.execute(_HISTORY, {"kind": kind, "subject": subject})]


def _entry(row: Row[Any]) -> Entry:
    return Entry(row.id, row.kind, row.subject, json.loads(row.body), row.said_by, row.recorded_ms)


# Built once: every page asks for these again and again, and to build one takes longer than to run it.
_entries = schema.entries.c
_SELECT = select(schema.entries)
_KIND = _entries.kind == bindparam("kind")
_ABOUT = _SELECT.where(_KIND, _entries.subject == bindparam("subject"))
_HISTORY = _ABOUT.order_by(_entries.id)
_NEWEST = _ABOUT.order_by(_entries.id.desc()).limit(1)
_HOLDING = _SELECT.where(
    _entries.id.in_(select(func.max(_entries.id)).where(_KIND).group_by(_entries.subject))
).order_by(_entries.subject)
_APPEND = insert(schema.entries).returning(schema.entries.c.id)
_NEXT = select(func.max(schema.entries.c.subject) + 1)
