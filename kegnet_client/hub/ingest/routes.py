"""Where devices write: REST v1 and v2, a record a request, and v3, many.

A 200 is sent after the commit and never before it. What a device did wrong for good is a 400, 413 or 415 with the
reason in a line of text, who it is a 401, and trouble of the hub's own a 503, after which the device tries again.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from kegnet_client.core.errors import RecordError
from kegnet_client.core.wire import batch, forms
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest import batch as ingest_batch
from kegnet_client.hub.ingest import forms as ingest_forms
from kegnet_client.hub.ingest.body import BodyError, read_body
from kegnet_client.hub.ingest.forms import RefusedError, SignedRequest
from kegnet_client.hub.ingest.group_commit import GroupCommit
from kegnet_client.hub.ingest.rows import Receipt, Submission
from kegnet_client.hub.listener import prove
from kegnet_client.hub.proxy import route_path
from kegnet_client.hub.refusals import Refusals
from kegnet_client.hub.store.database import StoreError

_CHALLENGE = {"WWW-Authenticate": 'KegNet realm="KegNet hub"'}
_MAX_LOGGED = 3
NO_STORE = {"Cache-Control": "no-store"}
"""On every answer to a device: none of them is the answer to another request."""

_log = logging.getLogger(__name__)


class Counts(Protocol):
    """What becomes of requests, counted for whoever watches the hub."""

    def count_stored(self, records: int, elapsed_s: float) -> None:
        """One is on disk, with so many new records."""
        ...

    def count_refused(self) -> None:
        """One was refused."""
        ...


Read = Callable[[Request], Awaitable[Submission]]
Endpoint = Callable[[Request], Awaitable[Response]]


class DirectDispatch:
    """ASGI middleware that takes a POST to one of ``endpoints`` there at once: devices send little, and often."""

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        endpoint = self._endpoints.get(route_path(scope)) if is_post else None
        if endpoint is None:
            await self._app(scope, receive, send)
        else:
            answer = await endpoint(Request(scope, receive))
            await answer(scope, receive, send)


def make_router(
    commits: GroupCommit,
    refusals: Refusals,
    on_stored: Callable[[], None],
    on_trouble: Callable[[StoreError], Response],
    counts: Counts,
    count_refused: Callable[[str, int], None],
    note_boot: Callable[[str, str], Awaitable[bool]],
) -> APIRouter:
    """The routes under ``/rest``, writing into ``commits``; ``on_trouble`` makes the answer where that fails.

    ``count_refused`` is told from which device how many records were refused, ``note_boot`` from which boot a device
    sends, and says whether it has a clone.
    """
    router = APIRouter()

    def add(path: str, read: Read, answer: Callable[[Receipt], Response], **described: Any) -> None:
        async def endpoint(request: Request) -> Response:
            response = await take(request)
            response.headers.update(NO_STORE)
            return response

        async def take(request: Request) -> Response:
            device = ""
            began_s = time.monotonic()
            try:
                submission = await read(request)
                device = submission.device
                receipt = await commits.take(submission)
            except BodyError as error:
                return _text(error.status, str(error), error.headers)
            except batch.TooMuchError as error:
                return _text(413, str(error))
            except (RecordError, batch.ContentError) as error:
                refusals.tell(request, device, error)
                counts.count_refused()
                count_refused(device or _claimed_device(request), 1)
                return _text(400, str(error))
            except RefusedError as error:
                refusals.tell(request, device, error)
                counts.count_refused()
                count_refused(device, 1)
                return _text(401, str(error), _CHALLENGE)
            except StoreError as error:
                return on_trouble(error)
            on_stored()
            counts.count_stored(sum(receipt.is_new), time.monotonic() - began_s)
            prove(request.scope)
            refusals.over(request, device)
            _tell(receipt)
            count_refused(device, receipt.proven.rejected)
            response = answer(receipt)
            boot = request.headers.get(batch.BOOT_HEADER)
            if boot is not None and await note_boot(device, boot):
                response.headers[batch.WARNING_HEADER] = batch.CLONE_WARNING
            return response

        router.add_api_route(path, endpoint, methods=["POST"], **described)

    for version in ingest_forms.VERSIONS:
        for name in ingest_forms.CALLS:
            add(
                f"/rest/{version.value}/{name}",
                _read_claim(name, version),
                lambda receipt: _text(200, "stored" if receipt.is_new[0] else "stored before"),
                response_class=PlainTextResponse,
                operation_id=f"{version.value}_{name}",
                summary=f"Take one {name} (REST {version.value})",
                openapi_extra=_describe_form(name),
                responses=_describe_answers(ingest_forms.MAX_BODY_BYTES, "a form"),
            )
    add(
        f"/rest/v3/{batch.CALL}",
        _read_batch,
        lambda receipt: Response(receipt.proven.verdicts, media_type=batch.CONTENT_TYPE),
        operation_id="v3_records",
        summary="Take many records (REST v3)",
        openapi_extra=_BATCH,
        responses={**_describe_answers(batch.MAX_CONTENT_BYTES, "JSON, or gzip of it"), 200: _VERDICTS},
    )
    return router


def endpoints_of(router: APIRouter) -> dict[str, Endpoint]:
    """The endpoints of ``router`` by their paths, for `DirectDispatch`."""
    return {route.path: route.endpoint for route in router.routes if isinstance(route, APIRoute)}


def _read_claim(name: str, version: Version) -> Read:
    async def read(request: Request) -> Submission:
        body = await read_body(request, forms.CONTENT_TYPE, ingest_forms.MAX_BODY_BYTES)
        request.state.form = body
        return ingest_forms.read_claim(name, version, body)

    return read


async def _read_batch(request: Request) -> Submission:
    def header(name: str) -> str | None:
        # A header that stands there twice is one list, as the signature sees it.
        return ", ".join(request.headers.getlist(name)) or None

    encoding = header("content-encoding")
    if encoding not in (None, ingest_batch.ENCODING):
        raise BodyError(415, f"Content-Encoding is {encoding[:80]!r}, expected {ingest_batch.ENCODING} or none")
    content = await read_body(request, batch.CONTENT_TYPE, batch.MAX_CONTENT_BYTES)
    return ingest_batch.read_batch(
        SignedRequest(
            path=request.scope["raw_path"].decode("latin-1"),
            content_type=header("content-type") or "",
            content_encoding=encoding,
            content_digest=header("content-digest") or "",
            signature_input=header("signature-input") or "",
            signature=header("signature") or "",
            content=content,
        )
    )


def _claimed_device(request: Request) -> str:
    """Whose a form says it is that is no record."""
    return ingest_forms.find_device(getattr(request.state, "form", b""))


def _tell(receipt: Receipt) -> None:
    """One line for each new record; for more of them, one for all."""
    new = [content for (_, content), is_new in zip(receipt.proven.records, receipt.is_new, strict=True) if is_new]
    if len(new) > _MAX_LOGGED:
        _log.info("%d records from %s", len(new), receipt.device_name)
        return
    for content in new:
        _log.info("%s from %s", content, receipt.device_name)


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, headers)


def _describe_answers(max_bytes: int, kind: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"description": "on disk, now or since before"},
        400: {"description": "not well-formed; sending it again is useless"},
        401: {"description": "unknown or revoked device, or not its signature"},
        413: {"description": f"more than {max_bytes} bytes, or too many records"},
        415: {"description": f"not {kind}"},
        503: {"description": "the database cannot do it now; try again after Retry-After"},
    }


def _describe_form(name: str) -> dict[str, Any]:
    fields = (*forms.SIGNED_FIELDS[name], "sig")
    form = {"type": "object", "required": list(fields), "properties": {field: {"type": "string"} for field in fields}}
    return {"requestBody": {"required": True, "content": {forms.CONTENT_TYPE: {"schema": form}}}}


_INTEGER = {"type": "integer"}
_STRING = {"type": "string"}
_RECORD = {
    "type": "object",
    "required": ["id", "type"],
    "properties": {
        "id": _STRING,
        "type": {"enum": ["pour", "reading", "heartbeat"]},
        "sensor": _STRING,
        **dict.fromkeys(("pin", "pulses", "elapsed_ms", "started_ms", "millidegrees", "taken_ms", "at_ms"), _INTEGER),
    },
}
_BATCH = {
    "parameters": [
        {"name": name, "in": "header", "required": required, "schema": _STRING}
        for name, required in (
            ("Content-Encoding", False),
            ("Content-Digest", True),
            ("Signature-Input", True),
            ("Signature", True),
        )
    ],
    "requestBody": {
        "required": True,
        "content": {
            batch.CONTENT_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["device", "records"],
                    "properties": {
                        "device": _STRING,
                        "records": {"type": "array", "maxItems": batch.MAX_RECORDS, "items": _RECORD},
                    },
                }
            }
        },
    },
}
_REJECTION = {"type": "object", "properties": {"index": _INTEGER, "id": _STRING, "reason": _STRING}}
_VERDICTS = {
    "description": "on disk, now or since before, but for what is rejected",
    "content": {
        batch.CONTENT_TYPE: {
            "schema": {
                "type": "object",
                "properties": {
                    "request": _STRING,
                    "accepted": _INTEGER,
                    "rejected": {"type": "array", "items": _REJECTION},
                },
            }
        }
    },
}
