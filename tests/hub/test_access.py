"""Who may read the hub."""

import asyncio

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from kegnet_client.hub.access import COOKIE, TokenMiddleware
from kegnet_client.hub.domain.roles import FIRST, Principal
from kegnet_client.hub.home import Home
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.tokens import hash_of

GUARDED = [
    "/",
    "/docs",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/docs/start.js",
    "/openapi.json",
    "/api/pours",
    "/api/temperatures",
    "/api/devices",
    "/there/is/no/such/page",
    "/restless",
    "/rest",
]


@pytest.mark.parametrize("path", GUARDED)
def test_nothing_is_shown_without_the_token(web: httpx.Client, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "hub init" in answer.text


@pytest.mark.parametrize("path", GUARDED[1:9])
def test_the_token_in_the_header_opens_it(reader: httpx.Client, path: str) -> None:
    assert reader.get(path).status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Basic {}", "Bearer {}x", "bearer  {} {}", "Bearer \xff", "{}"]
)
def test_anything_else_in_the_header_does_not(web: httpx.Client, hub_home: Home, header: str) -> None:
    value = header.replace("{}", hub_home.token()).encode("latin-1")
    assert web.get("/api/pours", headers={b"Authorization": value}).status_code == 401


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_browser_swaps_the_token_for_a_cookie(web: httpx.Client, hub_home: Home, path: str) -> None:
    answer = web.get(path, params={"token": hub_home.token()})
    web.cookies.clear()
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Secure", "SameSite=lax", "Max-Age=2592000", "Path=/"} <= set(cookie.split("; "))
    pair = cookie.partition(";")[0]
    assert web.get("/api/pours", headers={"Cookie": f"other=1; {pair}"}).status_code == 200
    assert web.get("/api/pours", headers={"Cookie": pair + "x"}).status_code == 401


@pytest.mark.parametrize("path", ["/api/pours", "/openapi.json", "/docs/start.js"])
def test_the_token_in_an_address_opens_the_entrances_only(web: httpx.Client, hub_home: Home, path: str) -> None:
    assert web.get(path, params={"token": hub_home.token()}).status_code == 401


def test_a_wrong_token_in_the_address_opens_nothing(web: httpx.Client) -> None:
    answer = web.get("/docs?token=wrong")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_the_home_page_leads_to_the_documentation(reader: httpx.Client) -> None:
    answer = reader.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")


def test_a_device_behind_a_proxy_that_leaves_the_prefix_is_told_which_path_arrived(web: httpx.Client) -> None:
    answer = web.post("/keg/hub/rest/v3/records")
    assert answer.status_code == 401
    assert "This path is '/keg/hub/rest/v3/records'." in answer.text
    assert "X-Forwarded-Prefix" in answer.text


class Asked:
    """An application behind the middleware, and whether anything came through to it."""

    def __init__(self) -> None:
        self.types: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.types.append(scope["type"])


def ask(scope: Scope) -> tuple[list[str], list[Message]]:
    """What came through to the application, and what was answered."""
    asked, sent = Asked(), []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    def find(secret_sha256: str) -> Principal | None:
        return FIRST if secret_sha256 == hash_of("t" * 43) else None

    asyncio.run(TokenMiddleware(asked, find, origins={"https://bar.example"})(scope, receive, send))
    return asked.types, sent


@pytest.mark.parametrize("path", ["/socket", "/rest/v3/records", "/ca.crt", "/docs"])
@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic " + "t" * 43])
def test_a_websocket_without_the_token_is_refused_wherever_it_leads(path: str, header: str) -> None:
    headers = [(b"authorization", header.encode())]
    scope: Scope = {"type": "websocket", "path": path, "query_string": b"token=" + b"t" * 43, "headers": headers}
    passed, sent = ask(scope)
    assert passed == []
    assert [message["type"] for message in sent] == ["websocket.close"]


TOKEN = (b"authorization", b"Bearer " + b"t" * 43)
IN_COOKIE = (b"cookie", COOKIE.encode() + b"=" + b"t" * 43)
HOST = (b"host", b"hub.example:8443")
OWN = (b"origin", b"https://hub.example:8443")
NAMED = (b"origin", b"https://bar.example")
OTHER = (b"origin", b"https://evil.example")


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ([TOKEN], True),
        ([TOKEN, HOST, OWN], True),
        ([TOKEN, HOST, NAMED], True),
        ([TOKEN, HOST, OTHER], False),
        ([IN_COOKIE, HOST, OWN], True),
        ([IN_COOKIE, HOST, NAMED], True),
        ([IN_COOKIE, HOST, OTHER], False),
        ([IN_COOKIE, HOST, (b"origin", b"http://hub.example:8443")], False),
        ([IN_COOKIE, HOST, (b"origin", b"null")], False),
        ([IN_COOKIE, HOST], False),
    ],
)
def test_a_websocket_with_the_token_passes_from_pages_of_its_own(
    headers: list[tuple[bytes, bytes]], passes: bool
) -> None:
    passed, _ = ask({"type": "websocket", "path": "/socket", "query_string": b"", "headers": headers})
    assert passed == (["websocket"] if passes else [])


HTTP: Scope = {"type": "http", "method": "GET", "query_string": b"", "headers": [(b"authorization", b"Bearer x")]}


def pass_through(door: TokenMiddleware, scope: Scope) -> list[Message]:
    """What ``door`` answers itself, or lets be answered."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(door(scope, receive, send))
    return sent


def test_while_the_database_cannot_say_who_it_is_nobody_is_told_that_their_token_is_wrong() -> None:
    def find(_secret_sha256: str) -> Principal | None:
        raise StoreError("the database is away")

    answer, _ = pass_through(TokenMiddleware(Asked(), find), {**HTTP, "path": "/api/taps"})
    assert answer["status"] == 503
    (closed,) = pass_through(TokenMiddleware(Asked(), find), {**HTTP, "type": "websocket", "path": "/socket"})
    assert (closed["type"], closed["code"]) == ("websocket.close", 1013)


def test_the_database_is_not_asked_for_each_request() -> None:
    asked = []

    def find(secret_sha256: str) -> Principal | None:
        asked.append(secret_sha256)
        return FIRST

    door = TokenMiddleware(Asked(), find)
    for _ in range(10):
        pass_through(door, {**HTTP, "path": "/api/taps"})
    assert len(asked) == 1


def test_what_the_dashboard_needs_is_allowed_to_its_own_pages_alone() -> None:
    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    door = TokenMiddleware(page, lambda _: FIRST)

    def policy(path: str) -> str:
        (start,) = pass_through(door, {**HTTP, "path": path})
        headers: dict[bytes, bytes] = dict(start["headers"])
        return headers[b"content-security-policy"].decode()

    assert "'unsafe-eval'" in policy("/ui/taps")
    for path in ("/uix", "/docs", "/x/ui/", "/", "/api/taps"):
        assert "script-src" not in policy(path), path


@pytest.mark.case(157)
def test_a_page_that_could_not_be_made_is_asked_for_again_by_a_screen_that_nobody_touches() -> None:
    async def fails(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})

    async def works(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def is_away(_sha256: str) -> Principal | None:
        raise StoreError("the database is away")

    def refresh(door: TokenMiddleware, path: str) -> bytes | None:
        start = pass_through(door, {**HTTP, "path": path})[0]
        headers: dict[bytes, bytes] = dict(start["headers"])
        return headers.get(b"refresh")

    assert refresh(TokenMiddleware(fails, lambda _: FIRST), "/ui/taps") == b"10"
    assert refresh(TokenMiddleware(fails, lambda _: FIRST), "/api/taps") is None
    assert refresh(TokenMiddleware(works, lambda _: FIRST), "/ui/taps") is None
    assert refresh(TokenMiddleware(works, is_away), "/ui/taps") == b"10"


def test_what_nobody_has_thought_of_does_not_pass() -> None:
    with pytest.raises(ValueError, match="webtransport"):
        ask({"type": "webtransport", "path": "/rest/v3/records", "headers": []})
