"""Kegs and what is left in them, at ``/api/kegs``.

``poured_ml`` is all that left a keg, ``left_ml`` its rest (never below nothing), ``last_pour_ms`` when it ran last.
"""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection

from kegnet_client.hub.api.resource import add_resource
from kegnet_client.hub.domain.levels import level_of
from kegnet_client.hub.domain.meters import NANOLITRES_PER_ML
from kegnet_client.hub.store import bodies, house, volumes
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.records import Store

_NOTHING = volumes.Left(0, None)
_MORE = {
    "poured_ml": (float, ...),
    "left_ml": (float, ...),
    "left_percent": (float, ...),
    "glasses": (int, ...),
    "last_pour_ms": (int | None, ...),
}


def show(connection: Connection, shown: Sequence[Entry], _now_ms: int) -> list[dict[str, Any]]:
    """Kegs, with what left them."""
    left = volumes.read_left(connection, [one.subject for one in shown])
    glass_ml = house.read_settings(connection).glass_ml
    found = []
    for one in shown:
        gone = left.get(one.subject, _NOTHING)
        level = level_of(one.body["size_ml"], one.body.get("start_ml"), gone.volume_nl)
        found.append(
            {
                **house.describe(one),
                "poured_ml": round(gone.volume_nl / NANOLITRES_PER_ML, 1),
                "left_ml": level.left_ml,
                "left_percent": level.percent,
                "glasses": level.glasses(glass_ml),
                "last_pour_ms": gone.last_pour_ms,
            }
        )
    return found


def add_routes(router: APIRouter, store: Store, clock_ms: Callable[[], int]) -> None:
    """Add them."""
    add_resource(router, store, clock_ms, "keg", bodies.Keg, show=show, more=_MORE)
