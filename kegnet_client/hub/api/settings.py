"""How things are shown, at ``/api/settings``: one set for the whole hub, with its history."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from kegnet_client.hub.access import said_by
from kegnet_client.hub.api.resource import IfMatch, seen_entry
from kegnet_client.hub.store import bodies, entries, house
from kegnet_client.hub.store.records import Store


def add_routes(router: APIRouter, store: Store, clock_ms: Callable[[], int]) -> None:
    """Add them."""

    @router.get("/settings", response_model=bodies.Settings)
    def read(response: Response) -> Any:
        """What holds; the defaults, where nothing was said."""
        entry = store.look(lambda connection: entries.read_one(connection, "settings", house.SETTINGS))
        response.headers["ETag"] = f'"{0 if entry is None else entry.id}"'
        return {} if entry is None else entry.body

    @router.put("/settings", response_model=bodies.Settings)
    def change(request: Request, response: Response, body: bodies.Settings, if_match: IfMatch = None) -> Any:
        """Say what holds from now on: all of it."""
        seen = seen_entry(if_match)
        entry = store.write(
            lambda connection: house.say(
                connection, "settings", house.SETTINGS, body, said_by(request.scope), clock_ms(), seen
            )
        )
        response.headers["ETag"] = f'"{entry.id}"'
        return entry.body

    @router.get("/settings/history")
    def read_history() -> dict[str, Any]:
        """All that was said, the oldest first."""
        found = store.read(lambda connection: entries.read_history(connection, "settings", house.SETTINGS))
        return {"items": [house.describe(one) for one in found]}
