"""The page that shows the API."""

import re

import httpx


def test_the_page_loads_nothing_from_elsewhere(reader: httpx.Client) -> None:
    page = reader.get("/docs")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(links) == 4
    for link in links:
        if link != "data:,":
            assert link.startswith("docs/")
            assert reader.get(page.url.join(link)).status_code == 200
    assert "//" not in re.sub(r"<!DOCTYPE html>", "", page.text)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "validatorUrl: null" in reader.get("/docs/start.js").text


def test_the_files_are_what_they_are_called(reader: httpx.Client) -> None:
    script, style = reader.get("/docs/swagger-ui-bundle.js"), reader.get("/docs/swagger-ui.css")
    assert script.headers["content-type"].startswith("text/javascript")
    assert style.headers["content-type"].startswith("text/css")
    assert len(script.content) > 1_000_000
    assert reader.get("/docs/core.py").status_code == 404
    assert reader.get("/docs/..%2fcore.py").status_code == 404


def test_the_description_names_every_call(reader: httpx.Client) -> None:
    paths = reader.get("/openapi.json").json()["paths"]
    calls = {f"/rest/{version}/{name}" for version in ("v1", "v2") for name in ("pour", "ping", "ip")}
    health = {"/health"}
    joining = {"/ca.crt", "/enroll", "/rotate", "/rotate/confirm"}
    calls.add("/rest/v3/records")
    reading = {"/metrics", "/health", *(f"/api/{name}" for name in ("pours", "temperatures", "devices", "events"))}
    kinds = ("taps", "beverages", "kegs", "calibrations", "adjustments", "profiles", "runs", "controllers", "rules")
    saying = {f"/api/{kind}{rest}" for kind in kinds for rest in ("", "/{number}", "/{number}/history")}
    saying |= {"/api/alarms", "/api/alarms/history", "/api/alarms/{number}/acknowledge"}
    saying |= {"/api/settings", "/api/settings/history"}
    maelstrom = {
        "/publish",
        "/appsettings",
        "/profiles",
        "/profile/{number}",
        "/iocontrollers",
        "/iocontroller/{number}",
    }
    assert set(paths) == calls | health | joining | reading | saying | maelstrom
    form = paths["/rest/v2/ping"]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    assert form["schema"]["required"] == ["id", "temp", "ts", "sig"]
    assert "text/csv" in paths["/api/pours"]["get"]["responses"]["200"]["content"]
