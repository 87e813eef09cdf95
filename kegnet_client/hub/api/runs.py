"""Profiles that run on a sensor or a chamber, at ``/api/runs``."""

from collections.abc import Callable

from fastapi import APIRouter

from kegnet_client.hub.api.resource import add_resource
from kegnet_client.hub.store import bodies
from kegnet_client.hub.store.records import Store


def add_routes(router: APIRouter, store: Store, clock_ms: Callable[[], int]) -> None:
    """Add them."""
    add_resource(router, store, clock_ms, "run", bodies.Run)
