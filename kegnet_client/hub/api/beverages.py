"""What is in kegs, at ``/api/beverages``."""

from collections.abc import Callable

from fastapi import APIRouter

from kegnet_client.hub.api.resource import add_resource
from kegnet_client.hub.store import bodies
from kegnet_client.hub.store.records import Store


def add_routes(router: APIRouter, store: Store, clock_ms: Callable[[], int]) -> None:
    """Add them."""
    add_resource(router, store, clock_ms, "beverage", bodies.Beverage)
