"""The hub as a web application: devices write under ``/rest``, whoever has the token reads the rest.

A 200 is sent after the commit and never before it. What a device did wrong for good is a 400, 413 or 415 with
the reason in a line of text, who it is a 401, and trouble of the hub's own a 503, after which the device tries
again. Bodies are read up to their bound and for a bounded time, so that a large or a slow sender costs little.

Whatever touches the database runs in the thread pool: the event loop never waits for a disk.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool

import kegnet_client
from kegnet_client.core import rest
from kegnet_client.core.errors import RecordError
from kegnet_client.hub import access, api, docs, enrol_api, receive
from kegnet_client.hub.bodies import BodyError, read_body
from kegnet_client.hub.refusals import Refusals
from kegnet_client.hub.store import Store, StoreError

RETRY_AFTER_S = 10

_log = logging.getLogger(__name__)


def wall_ms() -> int:
    """The time, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def create_app(store: Store, token: str, ca_pem: bytes, clock_ms: Callable[[], int] = wall_ms) -> FastAPI:
    """The application over ``store``, opened by ``token``; ``ca_pem`` is what a device that joins is to trust."""
    app = FastAPI(
        title="KegNet hub",
        version=kegnet_client.__version__,
        description="Devices write under `/rest`, signed with their own keys. Reading wants the hub's token.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(access.Door, token=token)
    trouble = _Trouble()
    refusals = Refusals()

    def take(claim: receive.Claim) -> bool:
        device = store.device(claim.device)
        if device is None:
            raise receive.RefusedError(receive.NOT_REGISTERED)
        if device.revoked_ms is not None:
            raise receive.RefusedError(receive.REVOKED)
        proven = receive.authenticate(claim, *device.keys_pem)
        (is_new,) = store.ingest([proven], clock_ms())
        trouble.over()
        if is_new:
            _log.info("%s from %s", claim.content, device.name)
        return is_new

    for version in receive.VERSIONS:
        for name in receive.CALLS:
            app.add_api_route(
                f"/rest/{version.value}/{name}",
                _endpoint(name, version, take, refusals),
                methods=["POST"],
                response_class=PlainTextResponse,
                operation_id=f"{version.value}_{name}",
                summary=f"Take one {name} (REST {version.value})",
                tags=["devices"],
                openapi_extra=_describe_form(name),
                responses=_RESPONSES,
            )
    app.include_router(enrol_api.make_router(store, ca_pem, clock_ms, refusals), tags=["joining"])
    app.include_router(api.make_router(store), tags=["reading"])
    app.include_router(docs.router)

    @app.exception_handler(StoreError)
    def unavailable(_request: Request, error: StoreError) -> Response:
        trouble.begins(error)
        return _text(503, "the database cannot do it now; try again later", {"Retry-After": str(RETRY_AFTER_S)})

    return app


class _Trouble:
    """One line when the database fails, one when it is back, none in between."""

    def __init__(self) -> None:
        self._lasts = False

    def begins(self, error: StoreError) -> None:
        if not self._lasts:
            self._lasts = True
            _log.warning("%s; nothing is stored until it can, devices are told to come back", error)

    def over(self) -> None:
        if self._lasts:
            self._lasts = False
            _log.info("the database works again")


def _endpoint(
    name: str, version: rest.Version, take: Callable[[receive.Claim], bool], refusals: Refusals
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        device = ""
        try:
            body = await read_body(request, rest.CONTENT_TYPE, receive.MAX_BODY_BYTES)
            claim = receive.read_claim(name, version, body)
            device = claim.device
            is_new = await run_in_threadpool(take, claim)
        except BodyError as error:
            return _text(error.status, str(error), error.headers)
        except RecordError as error:
            refusals.tell(request, device, error)
            return _text(400, str(error))
        except receive.RefusedError as error:
            refusals.tell(request, device, error)
            return _text(401, str(error), {"WWW-Authenticate": 'KegNet realm="KegNet hub"'})
        refusals.over(request, device)
        return _text(200, "stored" if is_new else "stored before")

    return endpoint


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, headers)


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "on disk, now or since before"},
    400: {"description": "not a well-formed record; sending it again is useless"},
    401: {"description": "unknown or revoked device, or not its signature"},
    413: {"description": f"more than {receive.MAX_BODY_BYTES} bytes"},
    415: {"description": "not a form"},
    503: {"description": "the database cannot do it now; try again after Retry-After"},
}


def _describe_form(name: str) -> dict[str, Any]:
    fields = (*rest.SIGNED_FIELDS[name], "sig")
    form = {"type": "object", "required": list(fields), "properties": {field: {"type": "string"} for field in fields}}
    return {"requestBody": {"required": True, "content": {rest.CONTENT_TYPE: {"schema": form}}}}
