"""A token's role says what it may do, on every route there is; one that is revoked opens nothing any more."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from kegnet_client.core.errors import UsageError
from kegnet_client.core.wire import enrolment
from kegnet_client.hub.access import COOKIE
from kegnet_client.hub.app import create_app
from kegnet_client.hub.domain.roles import FIRST, Principal, Role, needed
from kegnet_client.hub.store import tokens
from kegnet_client.hub.store.records import Store
from kegnet_client.hub.store.tokens import hash_of

from ..support.waits import WAIT_S
from .conftest import NOW_MS

FIRST_HASH = hash_of("first")


def make_token(store: Store, name: str, role: Role, expires_ms: int | None = None) -> str:
    return store.write(lambda connection: tokens.make(connection, name, role, NOW_MS, expires_ms))


def find(store: Store, secret: str, now_ms: int = NOW_MS) -> Principal | None:
    return store.read(lambda connection: tokens.find(connection, hash_of(secret), FIRST_HASH, now_ms))


def revoke(store: Store, name: str, first_sha256: str = FIRST_HASH) -> None:
    store.write(lambda connection: tokens.revoke(connection, name, first_sha256, NOW_MS))


def test_a_token_is_known_by_its_secret_until_it_is_revoked(store: Store) -> None:
    secret = make_token(store, "anna", Role.OPERATE)
    assert find(store, secret) == Principal("anna", Role.OPERATE)
    assert find(store, secret + "x") is None
    revoke(store, "anna")
    assert find(store, secret) is None
    (listed,) = store.read(tokens.read_all)
    assert (listed.name, listed.role, listed.revoked_ms) == ("anna", Role.OPERATE, NOW_MS)
    with pytest.raises(UsageError, match="there is a token named 'anna' already"):
        make_token(store, "anna", Role.READ)


def test_the_token_of_init_is_admin_until_it_is_revoked(store: Store) -> None:
    assert find(store, "first") == FIRST
    with pytest.raises(UsageError, match="'init' already"):
        make_token(store, "init", Role.READ)
    revoke(store, "init")
    revoke(store, "init")
    assert find(store, "first") is None


def test_each_token_that_the_file_ever_held_can_be_revoked(store: Store) -> None:
    revoke(store, "init")
    second = hash_of("second")
    assert store.read(lambda connection: tokens.find(connection, second, second, NOW_MS)) == FIRST
    revoke(store, "init", second)
    for secret in ("first", "second"):
        assert store.read(lambda connection, secret=secret: tokens.find(connection, hash_of(secret), second, 0)) is None  # type: ignore[misc]  # mypy infers no lambda with defaults


def test_a_token_expires(store: Store) -> None:
    secret = make_token(store, "browser", Role.READ, NOW_MS + 10)
    assert find(store, secret, NOW_MS + 9) is not None
    assert find(store, secret, NOW_MS + 10) is None


def test_only_one_that_there_is_can_be_revoked(store: Store) -> None:
    with pytest.raises(UsageError, match="no token named 'nobody'"):
        revoke(store, "nobody")


def test_a_link_makes_one_token_once_and_not_for_long(store: Store) -> None:
    def use(code: str, now_ms: int) -> str | None:
        return store.write(lambda connection: tokens.use_link(connection, code, now_ms))

    codes = [store.write(lambda connection: tokens.make_link(connection, "phone", Role.READ, NOW_MS)) for _ in range(3)]
    first = use(codes[0], NOW_MS)
    assert first is not None
    assert find(store, first) == Principal("phone 1", Role.READ)
    assert use(codes[0], NOW_MS) is None
    assert use(codes[1], NOW_MS + tokens.LINK_MS) is None
    second = use(codes[2], NOW_MS)
    assert second is not None
    assert find(store, second) == Principal("phone 2", Role.READ)


@pytest.mark.parametrize("database", ["store", "postgresql_store"])
def test_links_of_one_name_that_are_used_at_once_make_a_token_each_and_one_link_makes_one(
    request: pytest.FixtureRequest, database: str
) -> None:
    store: Store = request.getfixturevalue(database)
    codes = [store.write(lambda connection: tokens.make_link(connection, "tv", Role.READ, NOW_MS)) for _ in range(4)]

    def use(code: str) -> str | None:
        return store.write(lambda connection: tokens.use_link(connection, code, NOW_MS))

    with ThreadPoolExecutor(8) as pool:
        secrets = list(pool.map(use, [*codes, *codes]))
    made = [secret for secret in secrets if secret is not None]
    assert len(made) == 4
    assert {find(store, secret) for secret in made} == {Principal(f"tv {n}", Role.READ) for n in range(1, 5)}


PAGES = ("/", "/docs", "/docs/start.js", "/docs/{name}", "/openapi.json")
OPEN = {*enrolment.PATHS, "/login", "/logout"}


@pytest.fixture(scope="module")
def app(hub_store: Store) -> FastAPI:
    """The hub's routes; nobody asks this one."""
    return create_app(hub_store, "t" * 43, b"")


def test_no_route_is_left_out_here(app: FastAPI) -> None:
    contexts = [context for context in iter_route_contexts(app.routes) if context.methods]  # a websocket has none
    paths = {context.path for context in contexts}
    assert len(paths) > 30
    assert paths - {path for _, path in routes(app)} - OPEN == set()


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every route that is described, and those that are pages."""
    for path, methods in app.openapi()["paths"].items():
        yield from ((method.upper(), path) for method in methods)
    yield from (("GET", path) for path in PAGES)


ADMIN = {("POST", "/api/invitations"), ("DELETE", "/api/devices/{uuid}")}
ADMIN |= {("GET", "/api/tokens"), ("POST", "/api/tokens"), ("DELETE", "/api/tokens/{name}")}


def test_every_route_needs_the_role_that_is_expected_of_it(app: FastAPI) -> None:
    assert len(list(routes(app))) > 60
    for method, path in routes(app):
        if path.startswith("/rest/") or path in enrolment.PATHS:
            continue
        expected = Role.ADMIN if (method, path) in ADMIN else Role.READ if method == "GET" else Role.OPERATE
        assert needed(path, method) is expected, f"{method} {path}"


@pytest.fixture(scope="module")
def client_of(hub_store: Store, web: httpx.Client, trust: object) -> Iterator[Callable[[Role], httpx.Client]]:
    """A client that has a token of the role."""
    made: dict[Role, httpx.Client] = {}

    def client(role: Role) -> httpx.Client:
        if role not in made:
            secret = make_token(hub_store, f"a {role.word}", role)
            made[role] = httpx.Client(
                base_url=web.base_url,
                verify=trust,  # type: ignore[arg-type]  # an SSLContext
                headers={"Authorization": f"Bearer {secret}"},
                trust_env=False,
            )
        return made[role]

    yield client
    for one in made.values():
        one.close()


def test_no_role_does_what_it_may_not(app: FastAPI, client_of: Callable[[Role], httpx.Client]) -> None:
    count = 0
    for method, path in routes(app):
        if path.startswith("/rest/") or path in enrolment.PATHS:
            continue
        for role in Role:
            if role < needed(path, method):
                url = path.replace("{number}", "1").replace("{name}", "x").replace("{uuid}", "x")
                answer = client_of(role).request(method, url)
                assert answer.status_code == 403, f"{role.word}: {method} {path}"
                assert f"may {role.word}: this takes one that may" in answer.text
                count += 1
    assert count > 20


def test_who_operates_is_named_in_what_is_said(client_of: Callable[[Role], httpx.Client]) -> None:
    answer = client_of(Role.OPERATE).post("/api/taps", json={"name": "left"})
    assert answer.status_code == 201
    assert answer.json()["said_by"] == "a operate"


@pytest.mark.case(66)
def test_a_page_of_another_site_changes_nothing(web: httpx.Client, hub_store: Store) -> None:
    secret = make_token(hub_store, "a visitor", Role.ADMIN)
    cookie = {"Cookie": f"{COOKIE}={secret}"}
    own = str(web.base_url).rstrip("/")
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert web.post("/api/taps", json={"name": "x"}, headers={**cookie, **headers}).status_code == 403
    for headers in ({"Origin": own}, {"Sec-Fetch-Site": "same-origin"}):
        assert web.post("/api/taps", json={"name": "x"}, headers={**cookie, **headers}).status_code == 201
    assert web.get("/api/taps", headers={**cookie, "Origin": "https://evil.example"}).status_code == 200


def test_a_browser_logs_in_with_a_token(web: httpx.Client, hub_store: Store) -> None:
    secret = make_token(hub_store, "a browser", Role.READ)
    page = web.get("/login")
    assert page.status_code == 200
    assert 'name="token"' in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    own = {"Origin": str(web.base_url).rstrip("/")}
    wrong = web.post("/login", data={"token": secret + "x"}, headers=own)
    assert wrong.status_code == 403
    assert "no token of this hub" in wrong.text
    assert secret not in wrong.text
    answer = web.post("/login", data={"token": f" {secret} "}, headers=own)
    web.cookies.clear()
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert f"{COOKIE}={secret}" in answer.headers["set-cookie"]
    assert web.post("/login", data={"token": secret}, headers={"Origin": "https://evil.example"}).status_code == 403
    assert web.post("/login", content=b"x" * 5000, headers=own).status_code == 415
    web.cookies.clear()


def test_the_form_is_in_the_language_of_the_hub(web: httpx.Client, reader: httpx.Client) -> None:
    settings = reader.get("/api/settings").json()
    assert '<html lang="en">' in web.get("/login").text
    assert reader.put("/api/settings", json={**settings, "language": "de"}).status_code == 200
    try:
        page = web.get("/login").text
        own = {"Origin": str(web.base_url).rstrip("/")}
        wrong = web.post("/login", data={"token": "wrong"}, headers=own).text
    finally:
        assert reader.put("/api/settings", json=settings).status_code == 200
    assert '<html lang="de">' in page
    assert "<button>Anmelden</button>" in page
    assert "kein Token dieses Hubs" in wrong


@pytest.mark.parametrize("role", Role)
def test_whoever_is_logged_in_can_log_out(web: httpx.Client, hub_store: Store, role: Role) -> None:
    secret = make_token(hub_store, f"who leaves, {role.word}", role)
    cookie = {"Cookie": f"{COOKIE}={secret}"}
    assert web.post("/logout", headers={**cookie, "Origin": "https://evil.example"}).status_code == 403
    out = web.post("/logout", headers={**cookie, "Origin": str(web.base_url).rstrip("/")})
    web.cookies.clear()
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert f'{COOKIE}=""' in out.headers["set-cookie"]
    assert "Max-Age=0" in out.headers["set-cookie"]


def test_a_browser_logs_in_with_a_link_that_looking_at_does_not_use_up(web: httpx.Client, hub_store: Store) -> None:
    code = hub_store.write(lambda connection: tokens.make_link(connection, "a phone", Role.READ, 4_000_000_000_000))
    own = {"Origin": str(web.base_url).rstrip("/")}
    for _ in range(2):
        assert code in web.get("/login", params={"code": code}).text
    assert "&lt;script&gt;" in web.get("/login", params={"code": "<script>"}).text
    answer = web.post("/login", params={"code": code}, data={"code": code}, headers=own)
    web.cookies.clear()
    assert answer.status_code == 303
    again = web.post("/login", data={"code": code}, headers=own)
    assert again.status_code == 403
    assert "used already" in again.text


@pytest.mark.case(65)
def test_what_is_open_is_closed_when_its_token_is_revoked(
    web: httpx.Client, hub_store: Store, hub_home: object
) -> None:
    secret = make_token(hub_store, "a listener", Role.READ)
    headers = {"Authorization": f"Bearer {secret}"}
    with web.stream("GET", "/api/events", headers=headers, timeout=WAIT_S) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith(":")
        revoke(hub_store, "a listener")
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    assert web.get("/api/taps", headers=headers).status_code == 401


@pytest.mark.case(67)
def test_a_wrong_token_is_told_in_the_log_once_and_without_its_secret(
    web: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        web.get("/api/taps", headers={"Authorization": "Bearer wrong-secret"})
        web.get("/docs", params={"token": "wrong-secret"})
        web.post("/login", data={"code": "wrong-secret"})
    told = [record.getMessage() for record in caplog.records if "its token opens nothing here" in record.getMessage()]
    assert len(told) <= 1  # of this sender it may have been told in a test before
    assert "wrong-secret" not in caplog.text


@pytest.mark.case(67)
def test_a_made_up_code_keeps_no_writer_waiting(web: httpx.Client, hub_store: Store) -> None:
    with hold_writers(hub_store):
        assert web.post("/login", data={"code": "made-up"}, timeout=2).status_code == 403


@contextmanager
def hold_writers(store: Store) -> Iterator[None]:
    """A block in which another writer has the turn."""
    has_turn, done = threading.Event(), threading.Event()

    def work(_connection: object) -> None:
        has_turn.set()
        done.wait(WAIT_S)

    writer = threading.Thread(target=store.write, args=(work,))
    writer.start()
    assert has_turn.wait(WAIT_S)
    yield
    done.set()
    writer.join()
