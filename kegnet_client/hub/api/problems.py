"""What is wrong with a request, as RFC 9457 has it: ``application/problem+json``, which names the field.

``{"type": "about:blank", "title": "Unprocessable Content", "status": 422, "detail": "size_ml: ...", "errors": [
{"field": "size_ml", "message": "..."}]}``
"""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from kegnet_client.hub.store.database import TooSlowError
from kegnet_client.hub.store.entries import ChangedError
from kegnet_client.hub.store.house import UnknownError, WrongEntryError

MEDIA_TYPE = "application/problem+json"
_MAX_TOLD = 200

Fault = tuple[str, str]
"""A field, and what is wrong with it."""


def problem(status: int, detail: str, faults: Sequence[Fault] = (), headers: dict[str, str] | None = None) -> Response:
    """The answer that says so."""
    content: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if faults:
        content["errors"] = [{"field": field, "message": message} for field, message in faults]
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Let every failure of a route of ``app`` be told so."""

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> Response:
        faults = [_fault(one) for one in error.errors()[:20]]
        return problem(422, "; ".join(f"{field}: {message}" for field, message in faults), faults)

    @app.exception_handler(WrongEntryError)
    def wrong(_request: Request, error: WrongEntryError) -> Response:
        return problem(422, f"{error.field}: {error}", [(error.field, str(error))])

    @app.exception_handler(UnknownError)
    def unknown(_request: Request, error: UnknownError) -> Response:
        return problem(404, str(error))

    @app.exception_handler(ChangedError)
    def changed(_request: Request, error: ChangedError) -> Response:
        return problem(412, str(error))

    @app.exception_handler(TooSlowError)
    def too_slow(_request: Request, error: TooSlowError) -> Response:
        return problem(503, str(error))

    @app.exception_handler(HTTPException)
    def other(_request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


def _fault(error: dict[str, object]) -> Fault:
    """The field of ``error`` without where it stands, and the message; never the value, which may be a secret."""
    place = error["loc"]
    parts = [str(part) for part in (place if isinstance(place, tuple) else ())]
    # One that a whole object failed for names its field itself.
    message = str(error["msg"]).removeprefix("Value error, ")
    named, colon, rest = message.partition(": ")
    if colon and named.isidentifier():
        parts, message = [*parts, named], rest
    return ".".join(parts[1:])[:_MAX_TOLD] or "body", message[:_MAX_TOLD]
