"""Who may do what: a token has a role, and each request and each websocket needs one.

Everything is guarded, whether it exists or not: a page added later is, without anyone having to remember. Open are only
``/rest/``, the page to log in, and what a device needs to join or to change its key: there a signature or a one-time
code counts instead; and ``/health``, which tells nothing of what is stored. A program sends ``Authorization: Bearer
TOKEN``. A browser gets the token as a cookie that no script can read, by the page ``/login``, the link of
``hub login-link``, or by opening ``/docs?token=TOKEN`` once.

A cookie comes along with whatever another site makes the browser send, so whatever changes something, and every
websocket, has to come from a page of the hub's own or of one that is named in ``origins``. What stays open (websockets,
streams of events) is looked at again every `RECHECK_S`: it ends when its token is revoked.

A token that opens nothing is told in the log as other refusals are (`kegnet_client.hub.refusals`): once of a sender.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kegnet_client.core.wire import enrolment
from kegnet_client.hub.domain.roles import GUEST, Principal, Role, needed
from kegnet_client.hub.listener import cut, prove
from kegnet_client.hub.proxy import route_path
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.tokens import BROWSER_MS, hash_of

OPEN_PREFIX = "/rest/"
LOGIN_PATH = "/login"
LOGOUT_PATH = "/logout"
_LOGIN_PATHS = {LOGIN_PATH, LOGOUT_PATH}
OPEN_PATHS = {*enrolment.PATHS, *_LOGIN_PATHS}
ENTRANCES = ("/", "/docs")
COOKIE = "__Host-kegnet-hub"
"""The prefix makes browsers take it over HTTPS only, from this host only."""
RECHECK_S = 2.0
CACHE_S = 1.0
"""How long an answer of the database about a token is trusted."""
MAX_CACHED = 1000
PRINCIPAL = "kegnet.principal"
_STREAMS = {"/api/events"}
PAGE_RETRY_S = 10
"""After so long a browser asks again for a page that could not be made: nobody touches the screen in a taproom."""
_SAFE = {"GET", "HEAD", "OPTIONS"}

_REFUSAL = (
    "The hub shows this to whoever has a token: that of `kegnet-client hub init` is in the file `token` of the "
    "hub's directory,\n`kegnet-client hub token make` makes others. Send it as `Authorization: Bearer TOKEN`, or log "
    "in at /login in this browser.\n"
)
_PROXY_HINT = (
    "Devices write under /rest/: a proxy has to cut off what stands before it, and to say so with X-Forwarded-Prefix.\n"
)
_MAX_TOLD = 100
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

PAGES_PATH = "/ui"
"""Where the dashboard is, if there is one."""
_PAGES_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
"""What NiceGUI needs. It stops no script that stands in a page, so no text of others may become HTML there."""

Find = Callable[[str], Principal | None]
"""Who has the secret with this SHA-256, as the database says; raises `StoreError`."""
OnWrong = Callable[[HTTPConnection], None]
"""Told of each request with a token that opens nothing."""
OnGone = Callable[[Scope], Awaitable[None]]
"""Told of each websocket and stream whose token opens nothing any more, before it is cut off."""


async def _say_nothing(_scope: Scope) -> None:
    pass


class TokenMiddleware:
    """ASGI middleware that lets pass who may. ``find`` is asked in a thread."""

    def __init__(
        self,
        app: ASGIApp,
        find: Find,
        *,
        on_wrong: OnWrong = lambda _connection: None,
        on_gone: OnGone = _say_nothing,
        is_public: bool = False,
        public_paths: Collection[str] = (),
        origins: Collection[str] = (),
    ) -> None:
        self._app = app
        self._find = find
        self._on_wrong = on_wrong
        self._on_gone = on_gone
        self._is_public = is_public
        self._public_paths = public_paths
        self._origins = origins
        self._known: dict[str, tuple[float, Principal | None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await self._app(scope, receive, send)
            case "http":
                await self._answer(scope, receive, send)
            case "websocket":
                await self._connect(scope, receive, send)
            case other:
                raise ValueError(f"nothing is known of connections of the type {other!r}, so none passes")

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            who = await self._who(scope)
        except StoreError:
            await send({"type": "websocket.close", "code": 1013, "reason": "the database cannot say who you are now"})
            return
        if who is None or not self._is_own(scope):
            # Before it is accepted, this is a 403.
            await send(
                {"type": "websocket.close", "code": 1008, "reason": "the hub's token or its own page is missing"}
            )
            return
        prove(scope)
        scope[PRINCIPAL] = who
        await self._watch(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = route_path(scope)
        if path.startswith(OPEN_PREFIX) or path in enrolment.PATHS:
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "private, no-cache")
                headers["Content-Security-Policy"] = self._policy(path)
                headers["Referrer-Policy"] = "same-origin"
                headers["X-Content-Type-Options"] = "nosniff"
                if message["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR and _is_page(path):
                    headers["Refresh"] = str(PAGE_RETRY_S)
            await send(message)

        try:
            answer = await self._check(scope, path)
        except StoreError as error:
            answer = PlainTextResponse(f"{error}; try again later\n", 503, {"Retry-After": "10"})
        if answer is not None:
            await answer(scope, receive, send_guarded)
        elif path in _STREAMS:
            prove(scope)  # a guest's lasts, too
            await self._watch(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    async def _check(self, scope: Scope, path: str) -> Response | None:
        """None to let the request pass, or what to answer it with."""
        method = scope["method"]
        if method not in _SAFE and not self._is_own(scope):
            return PlainTextResponse(
                "This came from a page of another site. If that is your own, name it in `origins` of hub.conf.\n", 403
            )
        if path in _LOGIN_PATHS:
            return None
        if path in ENTRANCES and method in ("GET", "HEAD"):
            offered = parse_qs(scope["query_string"].decode("latin-1")).get("token")
            if offered is not None:
                if await self._principal(offered[0]) is not None:
                    return admit(scope["path"], offered[0])
                self._on_wrong(HTTPConnection(scope))
                return _refuse(scope, path)
        who = await self._who(scope)
        role = needed(path, method)
        if who is None and role is Role.READ and path in self._public_paths:
            who = GUEST
        if who is None:
            return _refuse(scope, path)
        if who.role < role:
            text = f"The token {who.name!r} may {who.role.word}: this takes one that may {role.word}.\n"
            return PlainTextResponse(text, 403)
        if who is not GUEST:
            prove(scope)
        scope[PRINCIPAL] = who
        return None

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it pass for as long as it is still who it was."""
        who = scope[PRINCIPAL]
        serving = asyncio.ensure_future(self._app(scope, receive, send))
        try:
            while not (await asyncio.wait({serving}, timeout=RECHECK_S))[0]:
                try:
                    is_good = await self._who(scope) == who
                except StoreError:
                    continue  # that says nothing of the token
                if not is_good:
                    try:
                        await self._on_gone(scope)
                    finally:
                        cut(scope)
                    return
            await serving
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _who(self, scope: Scope) -> Principal | None:
        headers = Headers(scope=scope)
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        offered = [secret for secret in (credentials.strip() if scheme.lower() == "bearer" else "", cookie) if secret]
        for secret in offered:
            who = await self._principal(secret)
            if who is not None:
                return who
        if offered:
            self._on_wrong(HTTPConnection(scope))
        return GUEST if self._is_public else None

    async def _principal(self, secret: str) -> Principal | None:
        key = hash_of(secret)
        asked_s, who = self._known.get(key, (float("-inf"), None))
        now_s = time.monotonic()
        if now_s - asked_s < CACHE_S:
            return who
        who = await run_in_threadpool(self._find, key)
        if len(self._known) >= MAX_CACHED:
            self._known.clear()
        self._known[key] = (now_s, who)
        return who

    def _is_own(self, scope: Scope) -> bool:
        """Whether it comes from a page of ours, or from no page at all and so with no cookie."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            # Browsers name a page's origin with whatever may change something.
            return COOKIE not in headers.get("cookie", "") or headers.get("sec-fetch-site") == "same-origin"
        return origin in self._origins or origin.lower() == f"https://{headers.get('host', '')}".lower()

    def _policy(self, path: str) -> str:
        return _PAGES_POLICY if path.startswith(f"{PAGES_PATH}/") else _POLICY


def admit(path: str, secret: str) -> Response:
    """Send the browser to ``path``, with the token as its cookie."""
    answer = RedirectResponse(path, status_code=303, headers={"Cache-Control": "no-store"})
    answer.set_cookie(COOKIE, secret, max_age=BROWSER_MS // 1000, secure=True, httponly=True, samesite="lax")
    return answer


def principal(scope: Scope) -> Principal:
    """Who asks in ``scope``, which the middleware let pass."""
    who: Principal = scope[PRINCIPAL]
    return who


def said_by(scope: Scope) -> str:
    """The name of the token in the request of ``scope``."""
    return principal(scope).name


def _is_page(path: str) -> bool:
    return path == "/" or path.startswith(f"{PAGES_PATH}/")


def _refuse(scope: Scope, path: str) -> Response:
    if _is_page(path) and scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", ""):
        return RedirectResponse(f"{scope.get('root_path', '')}{LOGIN_PATH}", 303, {"Cache-Control": "no-store"})
    hint = f"This path is {path[:_MAX_TOLD]!a}. {_PROXY_HINT}" if OPEN_PREFIX in path else ""
    return PlainTextResponse(_REFUSAL + hint, 401, {"WWW-Authenticate": 'Bearer realm="KegNet hub"'})
