"""What is new, in the order in which it was committed: one table for every subscriber, in whatever process.

A row is written in the transaction of what it tells. Its id is drawn under a lock that is held until the commit, so
that ids are in the order of commits: a reader that asks for what is after its last id misses nothing.

A channel's name is `[a-z0-9][a-z0-9_-]{0,63}`; one that begins with ``_`` is the hub's own. A body is JSON.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from kegnet_client.hub.store import schema

_LOCK = int.from_bytes(b"events")
_MAX_TRIMMED = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that is new; ``body`` is JSON text."""

    id: int
    at_ms: int
    channel: str
    body: str


News = tuple[str, Any]
"""A channel, and what is to be said there."""


def append(connection: Connection, now_ms: int, news: Sequence[News]) -> None:
    """Say ``news`` when this transaction commits; to be called last, because other writers wait from here on."""
    if not news:
        return
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    rows = [
        {"at_ms": now_ms, "channel": channel, "body": json.dumps(body, separators=(",", ":"))} for channel, body in news
    ]
    connection.execute(insert(schema.events), rows)


def read_after(connection: Connection, last_id: int, limit: int, channels: Collection[str] | None) -> list[Event]:
    """At most ``limit`` events after ``last_id``, the oldest first; of ``channels``, or of all."""
    table = schema.events.c
    statement = select(table.id, table.at_ms, table.channel, table.body).where(table.id > last_id)
    if channels is not None:
        statement = statement.where(table.channel.in_(list(channels)))
    return [Event(*row) for row in connection.execute(statement.order_by(table.id).limit(limit))]


def read_last(connection: Connection, channel: str, limit: int) -> list[Event]:
    """The last ``limit`` events of ``channel``, the oldest first."""
    table = schema.events.c
    statement = select(table.id, table.at_ms, table.channel, table.body).where(table.channel == channel)
    return [Event(*row) for row in connection.execute(statement.order_by(table.id.desc()).limit(limit))][::-1]


def read_bounds(connection: Connection) -> tuple[int, int]:
    """The ids of the oldest and of the newest event that are kept; 1 and 0 where there is none."""
    oldest, newest = connection.execute(select(func.min(schema.events.c.id), func.max(schema.events.c.id))).one()
    return (1, 0) if newest is None else (oldest, newest)


def has_before(connection: Connection, before_ms: int) -> bool:
    """Whether there is anything for `trim` to forget."""
    return connection.scalar(_old(before_ms).limit(1)) is not None


def trim(connection: Connection, before_ms: int) -> int:
    """Forget events from before ``before_ms``, but never the newest; how many there were, of a bounded number."""
    old = _old(before_ms).order_by(schema.events.c.id).limit(_MAX_TRIMMED)
    return connection.execute(delete(schema.events).where(schema.events.c.id.in_(old))).rowcount


def _old(before_ms: int) -> Select[int]:
    table = schema.events.c
    newest = select(func.max(table.id)).scalar_subquery()
    return select(table.id).where(table.at_ms < before_ms, table.id < newest)
