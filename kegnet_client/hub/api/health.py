"""``GET /health``: whether the hub is up and its database works, for whoever watches it, without a token.

It tells nothing else. The database is asked at most once in `LOOK_S`, however often strangers ask. Whoever asks while
it is being asked waits for that answer, and takes no thread from the other requests.
"""

import asyncio
import datetime
import time
from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import select

from kegnet_client.hub.ingest.routes import NO_STORE
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

PATH = "/health"
LOOK_S = 1.0


def make_router(store: Store, clock_ms: Callable[[], int]) -> APIRouter:
    """The route, for a hub that is up since now."""
    router = APIRouter()
    since = datetime.datetime.fromtimestamp(clock_ms() // 1000, datetime.UTC).isoformat().replace("+00:00", "Z")
    last = (float("-inf"), True)
    looking = asyncio.Lock()

    async def works() -> bool:
        nonlocal last
        async with looking:
            if time.monotonic() - last[0] >= LOOK_S:
                try:
                    await store.look_soon(lambda connection: connection.execute(select(1)).scalar())
                    is_good = True
                except StoreError:
                    is_good = False
                last = (time.monotonic(), is_good)  # the time after it: else those who waited would each ask again
            return last[1]

    @router.get(
        PATH,
        response_class=JSONResponse,
        summary="Whether the hub is up and its database works",
        responses={503: {"description": "the database does not work now"}},
    )
    async def health() -> JSONResponse:
        is_good = await works()
        body = {"status": "up", "database": "works" if is_good else "does not work", "since": since}
        return JSONResponse(body, 200 if is_good else 503, NO_STORE)

    return router
