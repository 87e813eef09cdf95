"""What a person said that a pour was, at ``/api/adjustments/POUR``: every pour has at most one that holds.

The ``keg`` of an adjustment is where the pour's volume counts; ``what: none`` takes back what was said before.
"""

from collections.abc import Callable

from fastapi import APIRouter

from kegnet_client.hub.api.resource import add_resource
from kegnet_client.hub.store import bodies
from kegnet_client.hub.store.records import Store


def add_routes(router: APIRouter, store: Store, clock_ms: Callable[[], int]) -> None:
    """Add them."""
    add_resource(router, store, clock_ms, "adjustment", bodies.Adjustment, has_own_numbers=False)
