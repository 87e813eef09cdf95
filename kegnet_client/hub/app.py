"""The hub as a web application: devices write under ``/rest``, whoever has the token reads the rest.

Bodies are read up to their bound and for a bounded time, so that a large or a slow sender costs little.

Whatever touches the database runs in the thread pool: the event loop never waits for a disk.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection
from starlette.types import Scope

import kegnet_client
from kegnet_client.host.condition import Condition
from kegnet_client.hub import access
from kegnet_client.hub.api import (
    adjustments,
    alarms,
    beverages,
    calibrations,
    controllers,
    docs,
    enrolment,
    events,
    health,
    kegs,
    login,
    problems,
    profiles,
    records,
    runs,
    taps,
)
from kegnet_client.hub.api import settings as settings_api
from kegnet_client.hub.background import Background
from kegnet_client.hub.body_limit import BodyLimit
from kegnet_client.hub.bus import Bus
from kegnet_client.hub.clones import Clones
from kegnet_client.hub.domain.roles import Principal
from kegnet_client.hub.hub_section import DEFAULTS, HubSettings
from kegnet_client.hub.ingest import routes
from kegnet_client.hub.ingest.forms import RefusedError
from kegnet_client.hub.ingest.group_commit import GroupCommit
from kegnet_client.hub.log_rate import LogRate
from kegnet_client.hub.maelstrom import rest
from kegnet_client.hub.maelstrom.socket import Sockets
from kegnet_client.hub.outlets import metrics
from kegnet_client.hub.outlets.open import Outlet
from kegnet_client.hub.refusals import Refusals
from kegnet_client.hub.refused_counts import RefusedCounts
from kegnet_client.hub.store import tokens
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store
from kegnet_client.hub.store.tokens import hash_of

RETRY_AFTER_S = 10
READ_LIMIT_S = 2.0
"""A read that takes longer is ended: others wait behind it."""
RESOURCES = (taps, beverages, kegs, calibrations, adjustments, profiles, runs, controllers, alarms, settings_api)
"""What people say things of; another one is a file and its name here."""

_log = logging.getLogger(__name__)


def wall_ms() -> int:
    """The time, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def create_app(
    store: Store,
    token: str,
    ca_pem: bytes,
    clock_ms: Callable[[], int] = wall_ms,
    rate: LogRate | None = None,
    settings: HubSettings = DEFAULTS,
    outlets: Sequence[Outlet] = (),
) -> FastAPI:
    """The application over ``store``, opened by ``token``; ``ca_pem`` is what a device that joins is to trust."""
    store.limit_reads(READ_LIMIT_S)
    bus = Bus(store)
    refused = RefusedCounts(store, clock_ms)
    background = Background(store, bus, clock_ms, settings.events_kept_days, outlets, refused)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with background.running():
            yield

    app = FastAPI(
        lifespan=lifespan,
        title="KegNet hub",
        version=kegnet_client.__version__,
        description="Devices write under `/rest`, signed with their own keys. Reading wants the hub's token.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.bus = bus
    app.add_middleware(BodyLimit)  # inside the door: who may not come in sends nothing
    first_sha256 = hash_of(token)
    refusals = Refusals(rate or LogRate())

    def find(secret_sha256: str) -> Principal | None:
        return store.look(lambda connection: tokens.find(connection, secret_sha256, first_sha256, clock_ms()))

    def on_wrong(connection: HTTPConnection) -> None:
        refusals.tell(connection, "", RefusedError("its token opens nothing here: it is wrong, or was revoked"))

    async def on_gone(scope: Scope) -> None:
        tell = getattr(app.state, "on_gone", None)  # the pages', if they are there
        if tell is not None and scope["type"] == "websocket":
            await tell(scope)

    app.add_middleware(
        access.TokenMiddleware,
        find=find,
        on_wrong=on_wrong,
        on_gone=on_gone,
        is_public=settings.public_view,
        public_paths={health.PATH, *((metrics.PATH,) if settings.public_metrics else ())},
        origins=settings.origins,
    )
    trouble = Condition(_log)

    commits = GroupCommit(store, clock_ms)

    def unavailable(error: StoreError) -> Response:
        trouble.begin(str(error), f"{error}; nothing is stored until it can, devices are told to come back")
        headers = {"Retry-After": str(RETRY_AFTER_S), **routes.NO_STORE}
        return PlainTextResponse("the database cannot do it now; try again later\n", 503, headers)

    def stored() -> None:
        trouble.end("the database works again")

    clones = Clones(store, clock_ms)
    counted = metrics.Metrics(store, clock_ms)
    writing = routes.make_router(commits, refusals, stored, unavailable, counted, refused.count, clones.note)
    app.add_middleware(routes.DirectDispatch, endpoints=routes.endpoints_of(writing))
    app.include_router(writing, tags=["devices"])
    app.include_router(enrolment.make_router(store, ca_pem, clock_ms, refusals), tags=["joining"])
    app.include_router(health.make_router(store, clock_ms), tags=["reading"])
    app.include_router(records.make_router(store), tags=["reading"])
    app.include_router(login.make_router(store, find, on_wrong, clock_ms))
    app.include_router(events.make_router(bus), tags=["reading"])
    saying = APIRouter(prefix="/api", dependencies=[Depends(HTTPBearer(auto_error=False))], tags=["saying"])
    for resource in RESOURCES:
        resource.add_routes(saying, store, clock_ms)
    counted.add_route(app.router)
    app.include_router(saying)
    app.include_router(rest.make_router(store, Sockets(store, bus), clock_ms))
    app.include_router(docs.router)

    problems.add_handlers(app)
    app.add_exception_handler(StoreError, lambda _request, error: unavailable(error))
    return app
