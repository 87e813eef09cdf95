"""Taps, at ``/api/taps``: the keg that runs there now, what is left in it, and how cold it is.

``keg`` is as `kegnet_client.hub.api.kegs` shows it, with the ``beverage`` that is in it; ``temperature`` is the last
reading of the tap's sensor, with its time: it may be old.
"""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection, bindparam, select

from kegnet_client.hub.api import kegs
from kegnet_client.hub.api.resource import add_resource
from kegnet_client.hub.store import bodies, entries, house, schema, tapping
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.records import Store

_MORE = {
    "keg": (dict[str, Any] | None, ...),
    "beverage": (dict[str, Any] | None, ...),
    "temperature": (dict[str, Any] | None, ...),
}

_readings = schema.temperatures.c
_LAST_READING = (
    select(_readings.millidegrees, _readings.taken_ms)
    .where(_readings.sensor == bindparam("sensor"))
    .order_by(_readings.taken_ms.desc(), _readings.id.desc())
    .limit(1)
)


def show(connection: Connection, shown: Sequence[Entry], now_ms: int) -> list[dict[str, Any]]:
    """Taps, with what runs there now."""
    running = tapping.read_running(connection, now_ms)
    shown_kegs = dict(zip(running, kegs.show(connection, list(running.values()), now_ms), strict=True))
    beverages = {one.subject: house.describe(one) for one in entries.read_all(connection, "beverage")}
    found = []
    for one in shown:
        keg = shown_kegs.get(one.subject)
        sensor = one.body.get("sensor")
        found.append(
            {
                **house.describe(one),
                "keg": keg,
                "beverage": None if keg is None else beverages.get(keg.get("beverage") or 0),
                "temperature": None if sensor is None else _temperature(connection, sensor),
            }
        )
    return found


def _temperature(connection: Connection, sensor: str) -> dict[str, Any] | None:
    row = connection.execute(_LAST_READING, {"sensor": sensor}).first()
    return None if row is None else dict(row._mapping)


def add_routes(router: APIRouter, store: Store, clock_ms: Callable[[], int]) -> None:
    """Add them."""
    add_resource(router, store, clock_ms, "tap", bodies.Tap, show=show, more=_MORE)
