"""What is set up for good, by a person who operates: taps, limits, controllers, light or dark."""

from typing import Any

import httpx
import pytest

from .conftest import DEVICE, NASTY, OpenPage

pytestmark = pytest.mark.process


def test_a_tap_gets_another_name_meter_and_thermometer(
    open_page: OpenPage, api: httpx.Client, tap: dict[str, Any]
) -> None:
    page = open_page("settings")
    page.get_by_role("button", name=f"Change {NASTY}").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Tap", exact=True).fill("Left")
    dialog.get_by_label("Pin").fill("4")
    dialog.get_by_label("Thermometer").fill("28-0000057fa1b2")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Change Left").wait_for()
    said = api.get(f"/api/taps/{tap['id']}").json()
    assert (said["name"], said["sensor"]) == ("Left", "28-0000057fa1b2")
    assert [(one["pin"], one["device"]) for one in said["meters"]] == [(0, DEVICE), (4, DEVICE)]
    assert said["meters"][0]["until_ms"] == said["meters"][1]["from_ms"]


def test_a_limit_of_its_own_is_said_and_taken_back(open_page: OpenPage, api: httpx.Client, tap: dict[str, Any]) -> None:
    del tap
    page = open_page("settings")
    page.get_by_role("combobox", name="Of what").click()
    page.get_by_role("option", name="keg").first.click()
    page.get_by_label("Keg below (%)", exact=True).fill("30")
    card = page.locator(".q-card", has=page.get_by_text("Limits", exact=True))
    card.get_by_role("button", name="Save").click()
    page.get_by_text("Saved").first.wait_for()
    assert [(one["subject"], one["limits"]) for one in api.get("/api/rules").json()["items"]] == [
        ("keg 2" if api.get("/api/kegs/2").status_code == 200 else "keg 1", {"keg_below_percent": 30})
    ]
    page.get_by_label("Keg below (%)", exact=True).fill("")
    page.get_by_text("Saved").first.wait_for(state="detached")
    card.get_by_role("button", name="Save").click()
    page.get_by_text("Saved").first.wait_for()
    assert api.get("/api/rules").json()["items"] == []


def test_a_controller_keeps_what_is_wired_to_a_chamber_that_stays(open_page: OpenPage, api: httpx.Client) -> None:
    chambers = [{"name": "Cold", "devices": [{"name": "fridge", "slot": "1"}]}, {"name": "Warm"}]
    number = api.post("/api/controllers", json={"name": "Brew", "socket": "/run/b", "chambers": chambers}).json()["id"]
    page = open_page("settings")
    page.get_by_role("button", name="Change Brew").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Chambers, one a line").fill("Cold\nHot, dry")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_text("/run/b · Cold · Hot, dry").wait_for()
    said = api.get(f"/api/controllers/{number}").json()["chambers"]
    assert [(one["name"], len(one["devices"])) for one in said] == [("Cold", 1), ("Hot, dry", 0)]


def test_who_is_told_of_alarms_is_said_and_how_somebody_comes_to_be(open_page: OpenPage) -> None:
    page = open_page("settings")
    page.get_by_text("nobody is told of them").wait_for()
    page.get_by_role("button", name="Try it with two simulated alarms").click()
    page.wait_for_url("**/ui/debugger")


def test_the_pages_are_dark_where_it_is_set(open_page: OpenPage, api: httpx.Client) -> None:
    settings = api.get("/api/settings").json()
    body = {name: settings[name] for name in ("name", "units", "language")}
    assert api.put("/api/settings", json={**body, "theme": "dark"}).status_code == 200
    page = open_page("settings")
    page.get_by_role("link", name="Taps").wait_for()
    page.wait_for_function("document.body.classList.contains('body--dark')")
    assert api.put("/api/settings", json=body).status_code == 200
