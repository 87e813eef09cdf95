"""Undoing what was said, by saying again what held before: one more entry, and the history shows them all."""

from sqlalchemy import Connection

from kegnet_client.hub.store import bodies, entries, house
from kegnet_client.hub.store.entries import Entry


def undo(connection: Connection, entry: Entry, said_by: str, now_ms: int) -> Entry:
    """Let hold again what held before ``entry``; where nothing did, what it was about ends.

    Raises `entries.ChangedError` where something else was said since, and what `house.say` does.
    """
    entries.lock(connection)
    history = entries.read_history(connection, entry.kind, entry.subject)
    before = [one for one in history if one.id < entry.id]
    body = bodies.KINDS[entry.kind].model_validate(before[-1].body) if before else _nothing(entry, now_ms)
    return house.say(connection, entry.kind, entry.subject, body, said_by, now_ms, entry.id)


def _nothing(entry: Entry, now_ms: int) -> bodies.Body:
    if entry.kind == "adjustment":
        return bodies.Adjustment(what="none")
    body = bodies.KINDS[entry.kind].model_validate(entry.body)
    # A keg that was never tapped has nothing of what ran meanwhile.
    starts = [one.from_ms for one in body.taps] if isinstance(body, bodies.Keg) else []
    return body.model_copy(update={"ended_ms": min(starts, default=now_ms)})
