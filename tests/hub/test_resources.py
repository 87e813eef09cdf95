"""What people say over the API holds, is shown with what follows from it, and is told by whom it was said."""

import csv
import io
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from kegnet_client.hub.store.records import Store

from .conftest import NOW_MS, Post


@pytest.fixture
def meter(device: str) -> dict[str, Any]:
    """A meter of this test's own."""
    return {"device": device, "pin": 3}


def make(reader: httpx.Client, plural: str, **body: Any) -> dict[str, Any]:
    answer = reader.post(f"/api/{plural}", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/{plural}/{made['id']}"
    assert answer.headers["etag"] == f'"{made["entry"]}"'
    return made


def test_a_tap_shows_its_keg_and_what_is_left_in_it(
    reader: httpx.Client, meter: dict[str, Any], form: Callable[..., bytes], post: Post
) -> None:
    tap = make(reader, "taps", name="left", meters=[meter], sensor="28-0000057fa1b2")
    beverage = make(reader, "beverages", name="Helles", abv_percent=4.9)
    keg = make(reader, "kegs", beverage=beverage["id"], size_ml=50_000, start_ml=10_000, taps=[{"tap": tap["id"]}])
    body = form("pour", id=meter["device"], pin=3, pulses=5400, et=60_000, ts=NOW_MS)
    assert post("v2/pour", body).status_code == 200
    shown = reader.get(f"/api/taps/{tap['id']}").json()
    assert shown["beverage"]["name"] == "Helles"
    assert shown["keg"]["id"] == keg["id"]
    assert (shown["keg"]["poured_ml"], shown["keg"]["left_ml"]) == (1000.0, 9000.0)
    assert (shown["keg"]["left_percent"], shown["keg"]["glasses"]) == (18.0, 18)
    assert shown["keg"]["last_pour_ms"] == NOW_MS
    assert shown["temperature"] is None
    (pour,) = reader.get("/api/pours", params={"device": meter["device"]}).json()["items"]
    assert (pour["volume_nl"], pour["tap"], pour["keg"]) == (5400 * 185_185, tap["id"], keg["id"])


def test_a_change_holds_and_the_history_says_who_said_what(reader: httpx.Client) -> None:
    made = make(reader, "beverages", name="Pils")
    url = f"/api/beverages/{made['id']}"
    tag = reader.get(url).headers["etag"]
    changed = reader.put(url, json={"name": "Pilsner"}, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert reader.get(url).json()["name"] == "Pilsner"
    late = reader.put(url, json={"name": "Pilsener"}, headers={"If-Match": tag})
    assert late.status_code == 412
    assert late.headers["content-type"] == "application/problem+json"
    assert "has changed it meanwhile" in late.json()["detail"]
    assert reader.put(url, json={"name": "Lager"}, headers={"If-Match": "what"}).status_code == 400
    history = reader.get(f"{url}/history").json()["items"]
    assert [(one["name"], one["said_by"]) for one in history] == [("Pils", "init"), ("Pilsner", "init")]


def test_what_is_ended_stays_and_can_begin_again(reader: httpx.Client) -> None:
    made = make(reader, "taps", name="old")
    url = f"/api/taps/{made['id']}"

    def listed(**params: Any) -> list[int]:
        return [one["id"] for one in reader.get("/api/taps", params=params).json()["items"]]

    for _ in range(2):
        assert reader.delete(url).json()["ended_ms"] is not None
    assert len(reader.get(f"{url}/history").json()["items"]) == 2
    assert made["id"] not in listed()
    assert made["id"] in listed(ended=True)
    assert reader.put(url, json={"name": "new"}).status_code == 200
    assert made["id"] in listed()


def test_a_list_comes_in_pages(reader: httpx.Client) -> None:
    numbers = [make(reader, "beverages", name=f"beer {number}")["id"] for number in range(5)]
    page = reader.get("/api/beverages", params={"limit": 2, "after": numbers[0]}).json()
    assert [one["id"] for one in page["items"]] == numbers[1:3]
    assert page["next"] == numbers[2]
    assert reader.get("/api/beverages", params={"after": numbers[4]}).json() == {"items": [], "next": None}


def test_a_pour_is_adjusted_and_the_adjustment_taken_back(
    reader: httpx.Client, meter: dict[str, Any], form: Callable[..., bytes], post: Post
) -> None:
    post("v2/pour", form("pour", id=meter["device"], pin=3, pulses=100, et=1000, ts=NOW_MS))
    (pour,) = reader.get("/api/pours", params={"device": meter["device"]}).json()["items"]
    url = f"/api/adjustments/{pour['id']}"
    assert reader.get(url).status_code == 404
    assert reader.put(url, json={"what": "volume", "volume_ml": 330, "reason": "a jug"}).status_code == 200
    (adjusted,) = reader.get("/api/pours", params={"device": meter["device"]}).json()["items"]
    assert (adjusted["volume_nl"], adjusted["adjustment"], adjusted["reason"]) == (330_000_000, "volume", "a jug")
    assert reader.put(url, json={"what": "none"}).status_code == 200
    (back,) = reader.get("/api/pours", params={"device": meter["device"]}).json()["items"]
    assert back == pour
    assert len(reader.get(f"{url}/history").json()["items"]) == 2


def test_settings_are_one_set(reader: httpx.Client) -> None:
    answer = reader.get("/api/settings")
    assert answer.json()["units"] == "metric"
    body = {**answer.json(), "units": "us", "timezone": "Europe/Berlin", "others": {"breweryLogo": "s/img/logo.png"}}
    assert reader.put("/api/settings", json=body, headers={"If-Match": answer.headers["etag"]}).status_code == 200
    assert reader.get("/api/settings").json() == body
    assert reader.put("/api/settings", json=body, headers={"If-Match": answer.headers["etag"]}).status_code == 412
    assert reader.put("/api/settings", json={}).status_code == 200
    assert reader.get("/api/settings/history").json()["items"][-1]["units"] == "metric"


def test_a_glass_of_next_to_nothing_keeps_no_keg_from_being_shown(reader: httpx.Client) -> None:
    keg = make(reader, "kegs", size_ml=50_000)
    assert reader.put("/api/settings", json={"glass_ml": 1e-9}).status_code == 200
    assert reader.get(f"/api/kegs/{keg['id']}").json()["glasses"] == 50_000_000_000
    assert reader.put("/api/settings", json={}).status_code == 200


def test_no_text_of_a_person_is_a_formula_in_a_spreadsheet(
    reader: httpx.Client, meter: dict[str, Any], form: Callable[..., bytes], post: Post
) -> None:
    post("v2/pour", form("pour", id=meter["device"], pin=3, pulses=100, et=1000, ts=NOW_MS))
    (pour,) = reader.get("/api/pours", params={"device": meter["device"]}).json()["items"]
    assert reader.put(f"/api/adjustments/{pour['id']}", json={"what": "void", "reason": "=1+1"}).status_code == 200
    answer = reader.get("/api/pours", params={"device": meter["device"]}, headers={"Accept": "text/csv"})
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["reason"], row["pulses"], row["device"]) == ("'=1+1", "100", meter["device"])


UUID = str(uuid.uuid4())


@pytest.mark.parametrize(
    ("plural", "body", "field"),
    [
        ("taps", {}, "name"),
        ("taps", {"name": ""}, "name"),
        ("taps", {"name": "x" * 101}, "name"),
        ("taps", {"name": "a\nb"}, "name"),
        ("taps", {"name": "a\u202eb"}, "name"),
        ("taps", {"name": "a\u2028b"}, "name"),
        ("taps", {"name": "left", "colour": "red"}, "colour"),
        ("taps", {"name": "left", "meters": [{"device": "x", "pin": 1}]}, "meters.0.device"),
        ("taps", {"name": "left", "meters": [{"device": UUID, "pin": 256}]}, "meters.0.pin"),
        ("taps", {"name": "left", "meters": [{"device": UUID, "pin": 1, "from_ms": 5, "until_ms": 5}]}, "until_ms"),
        ("taps", {"name": "left", "meters": [{"device": UUID, "pin": 1, "from_ms": "2026-01-01"}]}, "from_ms"),
        ("kegs", {"size_ml": 0}, "size_ml"),
        ("kegs", {"size_ml": "many"}, "size_ml"),
        ("kegs", {"size_ml": 10, "start_ml": 11}, "start_ml"),
        ("kegs", {"size_ml": 10, "beverage": 10**6}, "beverage"),
        ("calibrations", {"device": UUID, "pin": 1}, "nanolitres_per_pulse"),
        ("calibrations", {"device": UUID, "pin": 1, "pulses": 100}, "volume_ml"),
        ("calibrations", {"device": UUID, "pin": 1, "pulses": 1, "volume_ml": 5000}, "no meter has"),
        ("calibrations", {"device": UUID, "pin": 1, "pulses": 9, "volume_ml": 1, "nanolitres_per_pulse": 5}, "says"),
        ("profiles", {"name": "ale", "temperatures": [{"days": 1, "temperature": 1}] * 2}, "point 2"),
        ("profiles", {"name": "ale", "temperatures": [{"days": 1, "temperature": 1}] * 201}, "temperatures"),
        ("runs", {"profile": 1, "started_ms": 5}, "sensor"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(
    reader: httpx.Client, hub_store: Store, plural: str, body: dict[str, Any], field: str
) -> None:
    before = hub_store.event_bounds()
    answer = reader.post(f"/api/{plural}", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in answer.json()["detail"]
    assert any(field in one["field"] or field in one["message"] for one in answer.json()["errors"])
    assert hub_store.event_bounds() == before


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1e308", '"NaN"'])
def test_what_is_no_number_is_none(reader: httpx.Client, number: str) -> None:
    answer = reader.post("/api/kegs", content=f'{{"size_ml": {number}}}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert "size_ml" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'"\\ud800"', "application/json", 422),
        (b'{"name": "\\ud800"}', "application/json", 422),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"name": "left"}', "text/plain", 422),
        (b'{"name": "' + b"x" * 300_000 + b'"}', "application/json", 413),
    ],
)
def test_a_body_of_the_wrong_kind_or_size_is_a_4xx(
    reader: httpx.Client, content: bytes, kind: str, status: int
) -> None:
    answer = reader.post("/api/taps", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/taps/999999", "/api/taps/999999/history", "/api/nothing"])
def test_what_there_is_not_is_a_404_as_a_problem(reader: httpx.Client, path: str) -> None:
    answer = reader.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert reader.put("/api/taps/999999", json={"name": "left"}).status_code == 404
    assert reader.delete("/api/taps/999999").status_code == 404
