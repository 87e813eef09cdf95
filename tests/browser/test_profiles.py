"""What a brewer does with the page of profiles in a real browser."""

import re
import ssl
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.core.records import make_reading
from kegnet_client.core.wire.base_url import parse_base_url
from kegnet_client.hub.app import wall_ms
from kegnet_client.hub.domain.roles import Role
from kegnet_client.keys import Identity
from kegnet_client.net.client import Transport
from kegnet_client.sinks.kegnet_batch import KegnetBatch

from ..support.waits import WAIT_S
from .conftest import DEVICE, NASTY, Hub, OpenPage

expect = pytest.importorskip("playwright.sync_api", reason="takes the extra test").expect
pytestmark = pytest.mark.process

SENSOR = "28-0000057fa1b2"
DAY_MS = 86_400_000
POINTS = [(0, 18), (7, 18), (7, 20), (21, 2)]

Read = Callable[..., None]
MakeProfile = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def read(hub: Hub, key: rsa.RSAPrivateKey) -> Read:
    """``read(18.4, age_ms)``: what the device's thermometer says, sent as a device sends it."""
    context = ssl.create_default_context(cafile=hub.home.ca_certificate)
    sink = KegnetBatch(
        Identity(DEVICE, key), parse_base_url(f"{hub.url}/rest/v3"), Transport(context, WAIT_S, wall_ms), wall_ms
    )

    def send(degrees: float, age_ms: int = 0) -> None:
        (verdict,) = sink.send([make_reading(SENSOR, round(degrees * 1000), wall_ms() - age_ms)])
        assert verdict.disposition.name == "ACCEPTED", verdict

    return send


@pytest.fixture
def make_profile(api: httpx.Client) -> MakeProfile:
    """``make_profile("Pils", days=5.2)``: a profile that runs on the thermometer for so long."""

    def make(name: str, *, days: float | None = None, **more: Any) -> dict[str, Any]:
        temperatures = [{"days": day, "temperature": wanted} for day, wanted in POINTS]
        body = {"name": name, "type": "Fermentation", "temperatures": temperatures, **more}
        profile: dict[str, Any] = api.post("/api/profiles", json=body).json()
        if days is not None:
            started_ms = wall_ms() - round(days * DAY_MS)
            run = {"profile": profile["id"], "sensor": SENSOR, "started_ms": started_ms}
            assert api.post("/api/runs", json=run).status_code == 201
        return profile

    return make


def fill(page: Any, label: str, value: str) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(value)
    field.blur()


def test_a_running_profile_shows_its_day_set_point_and_reading_as_it_comes(
    open_page: OpenPage, read: Read, make_profile: MakeProfile
) -> None:
    profile = make_profile(f"{NASTY} Pils", days=14, events=[{"days": 3, "text": f"{NASTY} hops"}])
    read(17.2, 60_000)
    page = open_page(f"profiles?profile={profile['id']}")
    page.get_by_text("day 14.0 of 21", exact=True).wait_for()
    page.get_by_text("Set point: 11.0 °C").wait_for()
    page.get_by_text(re.compile(r"Reading: 17\.2 °C · 1 min ago")).wait_for()
    page.get_by_role("link", name=f"{NASTY} Pils").get_by_text(f"{SENSOR}: day 14.0 of 21").wait_for()
    page.locator(".nicegui-echart canvas").wait_for()
    read(16.4)
    page.get_by_text(re.compile(r"Reading: 16\.4 °C")).wait_for()


def test_a_running_profile_is_edited_and_its_history_keeps_what_it_was(
    open_page: OpenPage, api: httpx.Client, make_profile: MakeProfile
) -> None:
    number = make_profile("Pils", days=8, events=[{"days": 3, "text": "Dry hop"}])["id"]
    page = open_page(f"profiles?profile={number}")
    save = page.get_by_role("button", name="Save")
    save.wait_for()
    assert save.is_disabled()
    fill(page, "Temperature of row 4", "3.5")
    fill(page, "Day of row 4", "20")
    page.get_by_role("button", name="Insert a row above").nth(3).click()
    page.get_by_label("Day of row 5", exact=True).wait_for()  # until then row 4 is the old one
    fill(page, "Day of row 4", "14")
    fill(page, "Temperature of row 4", "19")
    page.get_by_role("button", name="Another thing to do").click()
    fill(page, "What to do, thing 2", "Rack")
    save.click()
    page.get_by_text("A row is not complete.").wait_for()
    fill(page, "Day of thing 2", "9")
    save.click()
    page.get_by_text("day 8.0 of 20", exact=True).wait_for()
    holding = api.get(f"/api/profiles/{number}").json()
    assert [(one["days"], one["temperature"]) for one in holding["temperatures"]] == [
        *((0, 18), (7, 18), (7, 20)),
        *((14, 19), (20, 3.5)),
    ]
    assert holding["events"] == [{"days": 3, "text": "Dry hop"}, {"days": 9, "text": "Rack"}]
    history = api.get(f"/api/profiles/{number}/history").json()["items"]
    assert [len(one["temperatures"]) for one in history] == [4, 5]
    assert page.locator(".q-table tbody tr").count() == 2
    page.get_by_role("cell", name=re.compile("21: 2 °C")).wait_for()


def test_what_somebody_else_changes_meanwhile_is_told_and_not_overwritten(
    open_page: OpenPage, api: httpx.Client, make_profile: MakeProfile
) -> None:
    profile = make_profile("Bock")
    page = open_page(f"profiles?profile={profile['id']}")
    fill(page, "Temperature of row 1", "15")
    page.get_by_role("button", name="Discard what is typed").wait_for()
    theirs = {name: profile[name] for name in ("name", "type", "unit", "events")}
    theirs["temperatures"] = [{"days": 0, "temperature": 9}]
    assert api.put(f"/api/profiles/{profile['id']}", json=theirs).status_code == 200
    notice = page.get_by_role("alert").get_by_text("init has changed this profile")
    notice.wait_for()
    expect(page.get_by_label("Temperature of row 1", exact=True)).to_have_value("15")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Somebody else has changed it meanwhile: look again").wait_for()
    assert api.get(f"/api/profiles/{profile['id']}").json()["temperatures"] == theirs["temperatures"]
    page.get_by_role("button", name="Show theirs").click()
    notice.wait_for(state="hidden")
    page.get_by_label("Temperature of row 2", exact=True).wait_for(state="detached")
    expect(page.get_by_label("Temperature of row 1", exact=True)).to_have_value("9")
    fill(page, "Temperature of row 1", "10")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("cell", name=re.compile("0: 10 °C")).wait_for()
    assert len(api.get(f"/api/profiles/{profile['id']}/history").json()["items"]) == 3


def test_a_profile_is_made_started_on_a_chamber_and_stopped(open_page: OpenPage, api: httpx.Client) -> None:
    body = {"name": f"{NASTY} One", "chambers": [{"name": "Left"}, {"name": "Right"}]}
    controller = api.post("/api/controllers", json=body).json()["id"]
    page = open_page("profiles")
    page.get_by_role("button", name="New profile").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Amber")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.wait_for_url("**/profiles?profile=*")
    page.get_by_text("It runs nowhere.").wait_for()
    page.get_by_role("button", name="Another temperature").click()
    fill(page, "Temperature of row 1", "12")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("cell", name=re.compile("0: 12 °C")).wait_for()
    page.get_by_role("button", name="Start somewhere").click()
    page.get_by_label("Where").click()
    page.get_by_role("option", name=f"{NASTY} One: Right").click()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("Set point: 12.0 °C").wait_for()
    payload = f'{{"channel": "data", "payload": {{"controllerId": {controller}, "beer": "13.5"}}}}'
    assert api.post("/publish", data={"channel": "data", "data": payload}).status_code == 200
    page.get_by_text(re.compile(r"Reading: 13\.5 °C")).wait_for()
    (run,) = [one for one in api.get("/api/runs").json()["items"] if one["controller"] == controller]
    assert (run["chamber"], run["said_by"], wall_ms() - run["started_ms"] < WAIT_S * 1000) == (2, "init", True)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped by init.").wait_for()
    assert all(one["controller"] != controller for one in api.get("/api/runs").json()["items"])
    page.get_by_role("button", name="Remove", exact=True).click()
    page.wait_for_url(re.compile(r"/profiles$"))
    page.get_by_role("button", name="New profile").wait_for()
    assert page.get_by_role("link", name="Amber").count() == 0


def test_a_run_that_starts_where_another_one_runs_ends_that(
    open_page: OpenPage, api: httpx.Client, read: Read, make_profile: MakeProfile
) -> None:
    read(18.4)
    before = make_profile("Before", days=1)["id"]
    after = make_profile("After")["id"]
    page = open_page(f"profiles?profile={after}")
    page.get_by_role("button", name="Start somewhere").click()
    page.get_by_label("Where").click()
    page.get_by_role("option", name=SENSOR).click()
    page.get_by_text("Before runs there now, and ends with that.").wait_for()
    page.get_by_label("Started at").fill(time.strftime("%Y-%m-%dT00:00", time.gmtime(time.time() - 3 * 86_400)))
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text(re.compile(r"day (3\.\d|4\.0) of 21")).first.wait_for()
    running = [one["profile"] for one in api.get("/api/runs").json()["items"] if one["sensor"] == SENSOR]
    assert after in running
    assert before not in running


def test_a_guest_sees_a_profile_and_nothing_that_changes_it(
    open_page: OpenPage, hub: Hub, make_profile: MakeProfile
) -> None:
    number = make_profile("Guests' own", days=2)["id"]
    page = open_page(f"profiles?profile={number}", hub.token("a guest of profiles", Role.READ), width=360, height=740)
    page.get_by_text("day 2.0 of 21", exact=True).wait_for()
    page.get_by_text("Day 0: 18 °C").first.wait_for()
    assert page.get_by_role("textbox").count() == 0
    assert page.get_by_role("spinbutton").count() == 0
    for name in ("New profile", "Start somewhere", "Stop", "Save", "Remove"):
        assert page.get_by_role("button", name=name).count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
