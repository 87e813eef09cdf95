"""The keg at a tap: which one it is, and changing it, which is several entries at once."""

from sqlalchemy import Connection

from kegnet_client.hub.store import bodies, entries, house
from kegnet_client.hub.store.entries import Entry


def read_running(connection: Connection, now_ms: int) -> dict[int, Entry]:
    """The keg that runs from each tap at ``now_ms``."""
    return {
        place["tap"]: keg
        for keg in entries.read_all(connection, "keg")
        if keg.body.get("ended_ms") is None or now_ms < keg.body["ended_ms"]
        for place in keg.body["taps"]
        if place["from_ms"] <= now_ms and (place["until_ms"] is None or now_ms < place["until_ms"])
    }


def read_last(connection: Connection, tap: int) -> Entry | None:
    """The keg that ran from ``tap`` last, or does now; one that was tapped by mistake counts, so that it comes back."""
    kegs = [
        (place["from_ms"], keg.id, keg)
        for keg in entries.read_all(connection, "keg")
        for place in keg.body["taps"]
        if place["tap"] == tap
    ]
    return max(kegs)[2] if kegs else None


def end_keg(connection: Connection, tap: int, said_by: str, now_ms: int) -> bool:
    """End the keg that runs from ``tap``, from now on; whether there was one."""
    entries.lock(connection)
    has_ended = False
    for keg in entries.read_all(connection, "keg"):
        body = bodies.Keg.model_validate(keg.body)
        running = [one for one in body.taps if one.tap == tap and one.until_ms is None]
        if running and body.ended_ms is None:
            for one in running:
                one.until_ms = max(now_ms, one.from_ms + 1)
            house.say(connection, "keg", keg.subject, body, said_by, now_ms)
            has_ended = True
    return has_ended


def tap_keg(
    connection: Connection,
    tap: int,
    beverage: bodies.Beverage,
    size_ml: float,
    said_by: str,
    now_ms: int,
    *,
    start_ml: float | None = None,
) -> Entry:
    """Let a new keg of ``beverage`` run from ``tap``, from now on; the one that is there ends.

    ``start_ml`` is what is in it, if it is not full.
    """
    end_keg(connection, tap, said_by, now_ms)
    number = house.say(connection, "beverage", None, beverage, said_by, now_ms).subject
    place = bodies.KegAtTap(tap=tap, from_ms=now_ms)
    body = bodies.Keg(beverage=number, size_ml=size_ml, start_ml=start_ml, taps=[place])
    return house.say(connection, "keg", None, body, said_by, now_ms)


def change_keg(
    connection: Connection,
    number: int,
    beverage: str | None,
    size_ml: float,
    start_ml: float | None,
    said_by: str,
    now_ms: int,
) -> Entry:
    """Say of keg ``number`` what it is, because it was said wrongly; with ``beverage`` None that stays.

    Raises as `house.say` does.
    """
    entries.lock(connection)
    keg = entries.read_one(connection, "keg", number)
    if keg is None:
        raise house.UnknownError("no-such", kind="keg", number=number)
    body = bodies.Keg.model_validate(keg.body)
    known = None if body.beverage is None else entries.read_one(connection, "beverage", body.beverage)
    if beverage is not None and (known is None or known.body["name"] != beverage):
        # One of its own: another keg may hold what that one was.
        wanted = bodies.Beverage.model_validate({**({} if known is None else known.body), "name": beverage})
        body.beverage = house.say(connection, "beverage", None, wanted, said_by, now_ms).subject
    changed = bodies.Keg.model_validate({**body.model_dump(), "size_ml": size_ml, "start_ml": start_ml})
    return house.say(connection, "keg", number, changed, said_by, now_ms)
