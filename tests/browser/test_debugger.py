"""What a person does with the debugger in a real browser: look at what the channels carry, publish, simulate."""

import json
import ssl
import time
import uuid
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from kegnet_client.hub.domain.roles import Role
from kegnet_client.hub.maelstrom import simulations

from ..support.waits import WAIT_S
from .conftest import NASTY, Hub, OpenPage

expect = pytest.importorskip("playwright.sync_api", reason="takes the extra test").expect
MAX_LINES = 100
pytestmark = pytest.mark.process


def publish(page: Any, channel: str, data: str) -> None:
    page.get_by_label("Channel", exact=True).first.fill(channel)
    page.get_by_label("Message", exact=True).fill(data)
    page.get_by_role("button", name="Publish").click()


def read_data(api: httpx.Client) -> list[dict[str, Any]]:
    """What was said on ``data`` until now, the oldest first, as a late subscriber of events hears it."""
    end = str(uuid.uuid4())
    found: list[dict[str, Any]] = []
    assert api.post("/publish", data={"channel": "data", "data": f'{{"payload": {{"end": "{end}"}}}}'}).text == "Posted"
    with api.stream("GET", "/api/events?channels=data", headers={"Last-Event-ID": "0"}) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                found.append(json.loads(json.loads(line.removeprefix("data:"))["data"])["payload"])
            if found and found[-1].get("end") == end:
                return found[:-1]
    raise AssertionError("the stream ended")


def test_what_is_published_there_is_seen_there_and_by_every_client(open_page: OpenPage, hub: Hub) -> None:
    page = open_page("debugger")
    context = ssl.create_default_context(cafile=hub.home.ca_certificate)
    headers = {"Authorization": f"Bearer {hub.home.token()}"}
    with connect(
        f"{hub.url.replace('https', 'wss')}/socket", ssl=context, additional_headers=headers, proxy=None
    ) as one:
        one.send('{"action": "subscribe", "channel": "brewery-7"}')
        one.send('{"action": "ping"}')
        one.recv(timeout=WAIT_S)
        publish(page, "brewery-7", f"{NASTY} no JSON")
        assert json.loads(one.recv(timeout=WAIT_S)) == {"channel": "brewery-7", "data": f"{NASTY} no JSON"}
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="brewery-7"))
    row.get_by_text(f"{NASTY} no JSON").click()
    page.get_by_role("dialog").get_by_text(f"{NASTY} no JSON").wait_for()


def test_what_clients_publish_and_what_the_hub_tells_comes_in_live(open_page: OpenPage, api: httpx.Client) -> None:
    page = open_page("debugger")
    page.get_by_text("What the channels carry").wait_for()
    assert api.post("/publish", data={"channel": "chart", "data": f"{NASTY} {'x' * 1000}"}).status_code == 200
    page.get_by_role("cell", name=f"{NASTY} xxx").wait_for()
    assert api.post("/appsettings", json=[{"name": "breweryLogo", "value": NASTY}]).status_code == 200
    page.get_by_role("cell", name="_appsettings").first.wait_for()
    page.get_by_label("Channel", exact=True).last.click()
    page.get_by_role("option", name="chart", exact=True).click()
    page.get_by_role("cell", name="_appsettings").first.wait_for(state="detached")
    page.get_by_role("cell", name=f"{NASTY} xxx").wait_for()


def test_a_flood_of_messages_fills_no_page(open_page: OpenPage, api: httpx.Client) -> None:
    page = open_page("debugger")
    page.get_by_text("What the channels carry").wait_for()
    for number in range(MAX_LINES + 30):
        assert api.post("/publish", data={"channel": "flood", "data": f"number {number}."}).status_code == 200
    page.get_by_role("cell", name=f"number {MAX_LINES + 29}.").wait_for()
    expect(page.locator("tbody tr")).to_have_count(MAX_LINES)
    assert page.get_by_role("cell", name="number 29.", exact=True).count() == 0


@pytest.mark.parametrize(
    ("channel", "data", "said"),
    [
        pytest.param("taps", "{}", "Unsupported channel: 'taps'. There are data, logs", marks=pytest.mark.slow),
        pytest.param("_profiles", "{}", "Unsupported channel: '_profiles'", marks=pytest.mark.slow),
        ("alarms", "{}", "alarms are {"),
    ],
)
def test_what_a_client_would_be_refused_is_refused_there_in_the_same_words(
    open_page: OpenPage, channel: str, data: str, said: str
) -> None:
    page = open_page("debugger")
    publish(page, channel, data)
    page.locator(".q-notification").get_by_text(said).wait_for()


def test_simulated_alarms_are_on_the_page_of_alarms_until_they_are_acknowledged(
    open_page: OpenPage, hub: Hub, api: httpx.Client
) -> None:
    page = open_page("debugger")
    page.get_by_role("button", name="Two alarms").click()
    page.get_by_role("status").get_by_text("The set point was not reached in time").wait_for()
    other = open_page("alarms")
    for text in ("Communication error with controller_1", "The set point was not reached in time"):
        other.locator(".q-card").get_by_text(text).wait_for()
    assert {one["subject"] for one in api.get("/api/alarms").json()["items"]} >= {
        "system 1001",
        "controller_1::chamber_2 1001",
    }
    page.get_by_role("button", name="Acknowledge all alarms").click()
    other.locator(".q-card").get_by_text("Communication error with controller_1").wait_for(state="detached")
    assert not [one for one in api.get("/api/alarms").json()["items"] if one["rule"] == "published"]
    page.get_by_role("button", name="Four log lines").click()
    page.get_by_role("cell", name="Communication error with controller_1").first.wait_for()


def test_simulated_things_are_there_for_every_page_and_client_and_twice_is_once(
    open_page: OpenPage, api: httpx.Client
) -> None:
    page = open_page("debugger")
    page.get_by_role("button", name="Controllers and devices").click()
    page.get_by_role("cell", name="_iocontrollers").first.wait_for()
    page.get_by_role("button", name="Profiles that run").click()
    page.get_by_role("cell", name="_profiles").first.wait_for()
    page.get_by_role("button", name="Settings: logo and theme").click()
    page.get_by_role("cell", name="s/img/logo-777.png").first.wait_for()
    controllers = api.get("/api/controllers").json()["items"]
    assert [(one["name"], one["address"], one["port"]) for one in controllers] == [
        ("BrewPi One", "localhost", "1234"),
        ("BrewPi Two", "localhost", "2345"),
    ]
    assert [len(chamber["devices"]) for one in controllers for chamber in one["chambers"]] == [6, 6, 6, 6]
    shown = {one["name"]: one["temperatures"] for one in api.get("/profiles").json()["profiles"]}
    assert [point["temperature"] for point in shown["Simulated lager"]] == [53, 49, 50, 50, 49, 53, 54]
    assert all(point["date"] for points in shown.values() for point in points)
    settings = {one["name"]: one["value"] for one in api.get("/appsettings").json()["appsettings"]}
    assert settings["breweryLogo"] == "s/img/logo-777.png"
    assert "themeStylesheet" in settings
    page.goto(page.url.replace("debugger", "profiles"))
    lager = page.get_by_role("link", name="Simulated lager")
    lager.get_by_text("BrewPi Two: Chamber 1: day 14.0 of 21").wait_for()
    lager.click()
    page.get_by_text("Set point: 11.7 °C").wait_for()
    (number,) = {one["id"] for one in controllers if one["name"] == "BrewPi Two"}
    data = json.dumps({"channel": "data", "payload": {"controllerId": number, "beer": "53.6"}})
    assert api.post("/publish", data={"channel": "data", "data": data}).status_code == 200
    page.get_by_text("Reading: 12.0 °C").wait_for()  # in the unit of the profile that runs there


def test_a_simulated_run_goes_on_until_it_is_stopped(open_page: OpenPage, api: httpx.Client) -> None:
    page = open_page("debugger")
    page.get_by_role("button", name="Lager").click()
    page.get_by_role("status").get_by_text("Lager: 2 of 16").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    time.sleep(1.5 * simulations.STEP_S)  # for nothing to happen, there is nothing to wait for
    found = [one for one in read_data(api) if one.get("status") == "Simulated lager"]
    assert 2 <= len(found) <= 3
    assert (found[0]["beer"], found[0]["beerSet"], found[0]["fridge"], found[0]["controllerId"]) == (
        "51.2",
        50.0,
        "51.0",
        2,
    )


def test_a_simulated_run_ends_with_its_page(open_page: OpenPage, api: httpx.Client) -> None:
    page = open_page("debugger")
    page.get_by_role("button", name="Ale").click()
    page.get_by_role("status").get_by_text("Ale: 2 of 16").wait_for()
    page.close()
    time.sleep(3 * simulations.STEP_S)  # as above
    assert 2 <= len([one for one in read_data(api) if one.get("status") == "Simulated ale"]) <= 3


def test_a_guest_looks_on_and_is_shown_nothing_that_publishes(open_page: OpenPage, hub: Hub, api: httpx.Client) -> None:
    page = open_page("debugger", hub.token("a guest who debugs", Role.READ), width=360, height=740)
    page.get_by_text("What the channels carry").wait_for()
    api.post("/publish", data={"channel": "lcd", "data": f"{NASTY} for guests"})
    page.get_by_role("cell", name=f"{NASTY} for guests").wait_for()
    assert page.get_by_role("button", name="Publish").count() == 0
    assert page.get_by_text("Simulations").count() == 0
    expect(page.get_by_role("button")).to_have_text(["Log out"])
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
