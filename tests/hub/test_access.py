"""Who may read the hub."""

import httpx
import pytest

from kegnet_client.hub.home import Home

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
    assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
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
