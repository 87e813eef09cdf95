"""The first run of a hub: from its name to a keg on a tap, left and taken up again at any step."""

from typing import Any

from sqlalchemy import Connection

from kegnet_client.hub.store import bodies, entries, house, tapping
from kegnet_client.hub.store.entries import Entry

STEPS = ("name", "units", "device", "keg")
OVER = "over"


def read_step(connection: Connection) -> str | None:
    """The one of `STEPS` at which it is; None once a keg was tapped, or somebody had enough of it."""
    if any(keg.body["taps"] for keg in entries.read_all(connection, "keg")):
        return None
    step = house.read_settings(connection).first_run
    return None if step == OVER else step


def is_fresh(connection: Connection) -> bool:
    """Whether there is nothing to be seen yet but the first run."""
    return read_step(connection) is not None and not entries.read_open(connection, "tap")


def go_to(connection: Connection, step: str, changes: dict[str, Any], said_by: str, now_ms: int) -> Entry:
    """Be at ``step`` from now on, with ``changes`` of the settings; the rest of them stays as it is."""
    entries.lock(connection)
    body = bodies.Settings.model_validate(
        {**house.read_settings(connection).model_dump(), **changes, "first_run": step}
    )
    return house.say(connection, "settings", house.SETTINGS, body, said_by, now_ms)


def tap_first_keg(
    connection: Connection,
    tap: bodies.Tap,
    beverage: bodies.Beverage,
    size_ml: float,
    said_by: str,
    now_ms: int,
    *,
    start_ml: float | None = None,
) -> Entry:
    """Make ``tap``, and let a keg of ``beverage`` run from it, as `tapping.tap_keg` does: with that it is over."""
    entry = house.say(connection, "tap", None, tap, said_by, now_ms)
    return tapping.tap_keg(connection, entry.subject, beverage, size_ml, said_by, now_ms, start_ml=start_ml)
