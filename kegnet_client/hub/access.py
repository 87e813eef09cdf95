"""Who may read: whoever has the token that ``hub init`` made, wherever the request comes from.

Everything is guarded, whether it exists or not, websockets too: a page added later is, without anyone having to
remember. Open are only ``/rest/`` and what a device needs to join or to change its key: there a signature or a
one-time code counts instead. A program sends ``Authorization: Bearer TOKEN``.
A browser opens ``/docs?token=TOKEN`` (or ``/``) once, gets the token as a cookie that no script and no other
site can use, and is sent to the same page without the token in its address.
"""

import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kegnet_client.core.wire import enrolment
from kegnet_client.hub.listener import prove
from kegnet_client.hub.proxy import route_path

OPEN_PREFIX = "/rest/"
OPEN_PATHS = enrolment.PATHS
ENTRANCES = ("/", "/docs")
COOKIE = "__Host-kegnet-hub"
"""The prefix makes browsers take it over HTTPS only, from this host only."""

_REFUSAL = (
    "The hub shows this to whoever has its token, which `kegnet-client hub init` wrote into the file `token` of the "
    "hub's directory.\nSend it as `Authorization: Bearer TOKEN`, or open /docs?token=TOKEN once in this browser.\n"
)
_PROXY_HINT = (
    "Devices write under /rest/: a proxy has to cut off what stands before it, and to say so with X-Forwarded-Prefix.\n"
)
_MAX_TOLD = 100
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


class TokenMiddleware:
    """ASGI middleware that lets a request or a websocket pass with the token only."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await self._app(scope, receive, send)
            case "http":
                await self._answer(scope, receive, send)
            case "websocket":
                if self._carries_token(scope):
                    prove(scope)
                    await self._app(scope, receive, send)
                else:
                    # Before it is accepted, this is a 403.
                    await send({"type": "websocket.close", "code": 1008, "reason": "the hub's token is missing"})
            case other:
                raise ValueError(f"nothing is known of connections of the type {other!r}, so none passes")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = route_path(scope)
        if path.startswith(OPEN_PREFIX) or path in OPEN_PATHS:
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "private, no-cache")
                headers["Content-Security-Policy"] = _POLICY
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        answer = self._check(scope, path)
        if answer is None:
            prove(scope)
        await (self._app if answer is None else answer)(scope, receive, send_guarded)

    def _check(self, scope: Scope, path: str) -> Response | None:
        """None to let the request pass, or what to answer it with."""
        if path in ENTRANCES and scope["method"] in ("GET", "HEAD"):
            offered = parse_qs(scope["query_string"].decode("latin-1")).get("token")
            if offered is not None:
                return self._admit(scope["path"]) if self._is_token(offered[0]) else _refuse(path)
        return None if self._carries_token(scope) else _refuse(path)

    def _carries_token(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(credentials.strip()):
            return True
        return self._is_token(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""))

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode("utf-8", "surrogateescape"), self._token)

    def _admit(self, path: str) -> Response:
        answer = RedirectResponse(path, status_code=303, headers={"Cache-Control": "no-store"})
        answer.set_cookie(COOKIE, self._token.decode("ascii"), secure=True, httponly=True, samesite="strict")
        return answer


def said_by(scope: Scope) -> str:
    """The name of the token in the request of ``scope``."""
    return str(scope.get("kegnet.token", "init"))


def _refuse(path: str) -> Response:
    hint = f"This path is {path[:_MAX_TOLD]!a}. {_PROXY_HINT}" if OPEN_PREFIX in path else ""
    return PlainTextResponse(_REFUSAL + hint, 401, {"WWW-Authenticate": 'Bearer realm="KegNet hub"'})
