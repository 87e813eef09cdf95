"""What a device that joins or changes its key says to the hub, and what it is answered.

These calls are open: what counts is the code, or a signature. `kegnet_client.core.wire.enrolment` describes them.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool

from kegnet_client.core.errors import RecordError
from kegnet_client.core.wire import enrolment as wire
from kegnet_client.hub.ingest.body import BodyError, read_body
from kegnet_client.hub.ingest.forms import RefusedError
from kegnet_client.hub.ingest.routes import NO_STORE
from kegnet_client.hub.listener import prove
from kegnet_client.hub.refusals import Refusals
from kegnet_client.hub.store import enrolment
from kegnet_client.hub.store.records import Store

_log = logging.getLogger(__name__)

Fields = dict[str, str]


def make_router(store: Store, ca_pem: bytes, clock_ms: Callable[[], int], refusals: Refusals) -> APIRouter:
    """The routes of `wire.PATHS`, over ``store``; ``ca_pem`` is what devices are to trust."""
    router = APIRouter()

    def enrol(fields: Fields) -> Response:
        request = enrolment.read_request(fields["uuid"], fields["request"])
        name = enrolment.enrol(store, fields["code"], request, clock_ms())
        _log.info("%s (%s) is enrolled", name, request.device)
        return JSONResponse({"name": name, "service": wire.SERVICE})

    def rotate(fields: Fields) -> Response:
        request = enrolment.read_request(fields["device"], fields["request"])
        name = enrolment.rotate(store, request, fields["signature"], clock_ms())
        _log.info("%s announced a new key", name)
        return _text(200, "both keys are taken now")

    def confirm(fields: Fields) -> Response:
        name = enrolment.confirm(store, fields["device"], fields["fingerprint"], fields["signature"])
        _log.info("%s uses its new key, the old one is not taken any more", name)
        return _text(200, "this key alone is taken now")

    @router.get(wire.CA_PATH, response_class=PlainTextResponse, summary="The certificate that devices trust")
    def ca() -> Response:
        return Response(ca_pem, headers=NO_STORE, media_type="application/x-pem-file")

    def add(path: str, work: Callable[[Fields], Response], names: tuple[str, ...], summary: str) -> None:
        fields = {name: {"type": "string"} for name in names}
        schema = {"type": "object", "required": list(names), "properties": fields}
        body = {"required": True, "content": {wire.CONTENT_TYPE: {"schema": schema}}}
        router.add_api_route(
            path,
            _endpoint(work, names, refusals),
            methods=["POST"],
            operation_id=path.strip("/").replace("/", "_"),
            summary=summary,
            openapi_extra={"requestBody": body},
            responses=_RESPONSES,
        )

    add(wire.ENROL_PATH, enrol, ("code", "uuid", "request"), "Join with a one-time code")
    add(wire.ROTATE_PATH, rotate, ("device", "request", "signature"), "Announce a new key, signed with the old one")
    add(wire.CONFIRM_PATH, confirm, ("device", "fingerprint", "signature"), "Retire the old key, signed with the new")
    return router


def _endpoint(
    work: Callable[[Fields], Response], names: tuple[str, ...], refusals: Refusals
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        response = await take(request)
        response.headers.update(NO_STORE)
        return response

    async def take(request: Request) -> Response:
        # One that joins is no device yet: how often it gives itself another uuid makes no difference.
        device = ""
        try:
            fields = _fields(await read_body(request, wire.CONTENT_TYPE, enrolment.MAX_BODY_BYTES), names)
            device = fields.get("device", "")
            answer = await run_in_threadpool(work, fields)
        except BodyError as error:
            return _text(error.status, str(error), error.headers)
        except RecordError as error:
            refusals.tell(request, device, error)
            return _text(400, str(error))
        except RefusedError as error:
            refusals.tell(request, device, error)
            return _text(401, str(error), {"WWW-Authenticate": 'KegNet realm="KegNet hub"'})
        except enrolment.KnownError as error:
            return _text(409, str(error))
        prove(request.scope)
        refusals.over(request, device)
        return answer

    return endpoint


def _fields(body: bytes, names: tuple[str, ...]) -> Fields:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or not all(isinstance(given.get(name), str) for name in names):
        raise RecordError(f"expected a JSON object with the strings {', '.join(names)}")
    return {name: given[name] for name in names}


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, headers)


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "done, now or before"},
    400: {"description": "not what the call expects; sending it again is useless"},
    401: {"description": "wrong, expired or used code; unknown or revoked device, or not its signature"},
    409: {"description": "a device with this uuid is registered already"},
    503: {"description": "the database cannot do it now; try again after Retry-After"},
}
