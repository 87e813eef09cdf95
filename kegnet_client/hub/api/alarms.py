"""What is wrong, at ``/api/alarms``: what stands, all that ever stood, and acknowledging it.

An alarm stands until its cause is gone and somebody has acknowledged it. Limits of their own for a sensor, a meter, a
keg or a device are said at ``/api/rules``.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from kegnet_client.hub.access import said_by
from kegnet_client.hub.api.resource import Number, add_resource
from kegnet_client.hub.store import alarms, bodies
from kegnet_client.hub.store.records import Store

MAX_LIMIT = 500


def add_routes(router: APIRouter, store: Store, clock_ms: Callable[[], int]) -> None:
    """Add them, and those of the rules."""

    @router.get("/alarms")
    def read_standing() -> dict[str, Any]:
        """What stands, the oldest first."""
        standing = store.read(alarms.read_standing)
        return {"items": [alarms.describe(number, alarm) for number, alarm in standing.values()]}

    @router.get("/alarms/history")
    def read_history(
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
        before: Annotated[int | None, Query(ge=1, le=2**53, description="a page's `next`: go on behind it")] = None,
    ) -> dict[str, Any]:
        """All that ever stood, the newest first, with all that happened to each."""
        found = store.read(lambda connection: alarms.read_history(connection, limit, before))
        return {"items": found, "next": found[-1]["id"] if len(found) == limit else None}

    @router.post("/alarms/{number}/acknowledge")
    def acknowledge_one(request: Request, number: Number) -> dict[str, Any]:
        """Say that somebody knows of it."""
        who, now_ms = said_by(request.scope), clock_ms()

        store.write(lambda connection: alarms.acknowledge_one(connection, number, who, now_ms))
        return {"status": "acknowledged"}

    add_resource(router, store, clock_ms, "rule", bodies.Rule)
