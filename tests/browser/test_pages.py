"""What a person does with the hub's pages in a real browser."""

import json
import re
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import update

from kegnet_client.hub.dashboard.old import OLD
from kegnet_client.hub.domain.roles import Role
from kegnet_client.hub.domain.rules import HOUR_MS
from kegnet_client.hub.home import Home
from kegnet_client.hub.serve import utc_now
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.records import Store

from ..support.waits import WAIT_S
from .conftest import NASTY, Hub, OpenPage, pour

pytestmark = pytest.mark.process

HIDDEN_BY_THEIR_LABELS = """[...document.querySelectorAll('.q-field--float.q-field--labeled')].flatMap(field => {
    const label = field.querySelector('.q-field__label').getBoundingClientRect();
    const value = field.querySelector('.q-field__native'), box = value.getBoundingClientRect();
    const top = box.top + parseFloat(getComputedStyle(value).paddingTop);
    return top < label.bottom - 2 || box.height < value.scrollHeight ? [field.innerText] : [];
})"""
LEAST_ON_A_TV_PX = 20
TEXTS_BELOW = """least => {
    const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode.data.trim(), holder = texts.currentNode.parentElement;
        if (text && holder.checkVisibility() && parseFloat(getComputedStyle(holder).fontSize) < least) found.push(text);
    }
    return found;
}"""


@pytest.mark.usefixtures("tap")
def test_who_has_no_token_logs_in_with_a_field(hub: Hub, chromium: Any) -> None:
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(hub.url)
    assert page.url.endswith("/login")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("no token of this hub").wait_for()
    page.get_by_label("Token").fill(hub.home.token())
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/ui/taps")
    context.close()


@pytest.mark.usefixtures("tap")
def test_a_pour_is_on_the_screen_as_it_arrives(open_page: OpenPage, api: httpx.Client, key: rsa.RSAPrivateKey) -> None:
    page = open_page("taps")
    page.get_by_text(f"{NASTY} Helles").wait_for()
    page.get_by_text("20.0 l left").wait_for()
    pour(api, key, 5400)
    page.get_by_text("19.0 l left").wait_for()
    page.get_by_text("of 20.0 l · 95 % · 38 glasses").wait_for()
    assert page.get_by_role("progressbar").first.get_attribute("aria-valuenow") == "95"


@pytest.mark.usefixtures("tap")
@pytest.mark.parametrize(
    "place", ["taps", "temperatures", "pours", "profiles", "alarms", "devices", "settings", "debugger"]
)
def test_texts_of_others_are_text_and_a_phone_shows_all_of_a_page(open_page: OpenPage, place: str) -> None:
    page = open_page(place, width=360, height=740)
    page.get_by_role("link", name="Taps").wait_for()
    if place in ("taps", "pours", "devices"):
        page.get_by_text(NASTY).first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    tables = "[...document.querySelectorAll('.q-table__middle')]"
    assert page.evaluate(f"{tables}.filter(one => one.scrollWidth > one.clientWidth).length") == 0


@pytest.mark.usefixtures("tap")
def test_on_a_tv_no_text_is_too_small_for_three_metres(open_page: OpenPage, hub: Hub) -> None:
    page = open_page("taps", width=1920, height=1080)
    small = []
    for place in ("taps", "pours", "alarms", "devices", "settings"):
        page.goto(f"{hub.url}/ui/{place}")
        page.get_by_role("button", name="Log out").wait_for()
        small += page.evaluate(f"({TEXTS_BELOW})({LEAST_ON_A_TV_PX})")
        small += page.evaluate(HIDDEN_BY_THEIR_LABELS)
    assert small == []


@pytest.mark.usefixtures("tap")
def test_a_guest_looks_and_is_shown_nothing_that_changes(open_page: OpenPage, hub: Hub) -> None:
    page = open_page("taps", hub.token("a guest at the bar", Role.READ))
    page.get_by_text("You may look, and change nothing.").wait_for()
    assert page.get_by_role("button", name="Tap a new keg").count() == 0
    page.goto(f"{hub.url}/ui/settings")
    page.get_by_text("You may look, and change nothing.").wait_for()
    assert page.get_by_role("button", name="Save").count() == 0


def test_a_new_keg_is_tapped_and_ended(open_page: OpenPage, api: httpx.Client) -> None:
    tap = api.post("/api/taps", json={"name": "Spare"}).json()["id"]
    page = open_page("taps")
    card = page.locator(".q-card", has=page.get_by_text("Spare", exact=True))
    card.get_by_text("no keg").wait_for()
    card.get_by_role("button", name="Tap a new keg").click()
    page.get_by_label("Beverage").fill("Stout")
    page.get_by_label("Size (litres)").fill("30")
    page.get_by_label("In it now").fill("12.5")
    page.get_by_role("button", name="Save").click()
    card.get_by_text("12.5 l left").wait_for()
    shown = api.get(f"/api/taps/{tap}").json()
    assert (shown["beverage"]["name"], shown["keg"]["size_ml"], shown["keg"]["said_by"]) == ("Stout", 30_000, "init")
    card.get_by_role("button", name="Change the keg").click()
    page.get_by_label("Beverage").fill("Porter")
    page.get_by_label("Size (litres)").fill("50")
    page.get_by_role("button", name="Save").click()
    card.get_by_text("of 50.0 l · 25 %").wait_for()
    changed = api.get(f"/api/taps/{tap}").json()
    assert (changed["keg"]["id"], changed["beverage"]["name"]) == (shown["keg"]["id"], "Porter")
    assert api.get(f"/api/beverages/{shown['beverage']['id']}").json()["name"] == "Stout"
    card.get_by_role("button", name="The keg is empty").click()
    card.get_by_text("no keg").wait_for()
    assert api.get(f"/api/taps/{tap}").json()["keg"] is None
    card.get_by_role("button", name="History").click()
    page.get_by_role("dialog").get_by_text("init, 20").first.wait_for()
    page.get_by_role("dialog").get_by_role("button", name="Undo the last").click()
    card.get_by_text("12.5 l left").wait_for()
    card.get_by_role("button", name="The keg is empty").click()
    card.get_by_text("no keg").wait_for()


@pytest.mark.usefixtures("tap")
def test_a_pour_is_voided_with_a_reason(open_page: OpenPage, api: httpx.Client, key: rsa.RSAPrivateKey) -> None:
    pour(api, key, 777)
    page = open_page("pours")
    page.get_by_role("button", name="Change 144 ml").click()
    page.get_by_role("radio", name="It was no pour").click()
    page.get_by_label("Why").fill("line cleaned")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("It was no pour line cleaned").wait_for()
    (row,) = [one for one in api.get("/api/pours").json()["items"] if one["pulses"] == 777]
    assert (row["volume_nl"], row["adjustment"]) == (0, "void")


def test_an_alarm_stands_on_every_page_until_it_is_acknowledged(
    open_page: OpenPage, hub: Hub, api: httpx.Client
) -> None:
    alarm = {"source": "system", "code": 1001, "msg": f"{NASTY} is too warm"}
    data = json.dumps({"channel": "alarms", "payload": {"alarms": [alarm]}})
    page = open_page("pours")
    assert api.post("/publish", data={"channel": "alarms", "data": data}).status_code == 200
    page.get_by_role("status").get_by_text(f"{NASTY} is too warm").wait_for()
    page.get_by_role("link", name="Alarms", exact=True).click()
    page.wait_for_url(f"{hub.url}/ui/alarms")
    described = page.locator("[aria-describedby^=alarm-]").first.get_attribute("aria-describedby")
    page.locator(f"#{described}").get_by_text(alarm["msg"]).wait_for()
    card = page.locator(".q-card", has=page.get_by_text(f"{NASTY} is too warm"))
    card.get_by_role("button", name="Acknowledge").click()
    card.wait_for(state="detached")
    assert all(one["text"] != alarm["msg"] for one in api.get("/api/alarms").json()["items"])


@pytest.mark.usefixtures("tap")
def test_the_language_and_the_units_are_settings(open_page: OpenPage, api: httpx.Client) -> None:
    settings = api.get("/api/settings").json()
    assert api.put("/api/settings", json={**settings, "language": "de", "units": "us"}).status_code == 200
    try:
        page = open_page("taps")
        page.get_by_role("link", name="Zapfhähne").wait_for()
        page.get_by_text(re.compile(r"^noch \d+,\d\d gal$")).first.wait_for()
    finally:
        assert api.put("/api/settings", json=settings).status_code == 200


@pytest.mark.slow
@pytest.mark.usefixtures("tap")
def test_pages_whose_websocket_never_comes_fill_nothing(api: httpx.Client, hub: Hub) -> None:
    statuses = {api.get("/ui/taps").status_code for _ in range(100)}
    before_kib = hub.resident_kib()
    statuses |= {api.get("/ui/taps").status_code for _ in range(200)}
    assert statuses <= {200, 503}
    assert hub.resident_kib() < before_kib + 20 * 1024
    assert api.get("/api/taps").status_code == 200


@pytest.mark.usefixtures("tap")
def test_a_page_comes_back_by_itself_when_the_hub_does(
    open_page: OpenPage, hub: Hub, api: httpx.Client, key: rsa.RSAPrivateKey
) -> None:
    hub.stop()
    hub.start()
    page = open_page("taps")
    left = page.get_by_text(f"{NASTY} Helles").locator("..").get_by_text(" l left")
    litres = float(left.inner_text().split()[0])
    hub.stop()
    page.get_by_text("Connection lost").wait_for()
    assert page.locator(".q-page").evaluate("page => getComputedStyle(page).filter") == "grayscale(1)"
    hub.start()
    pour(api, key, 5400)  # a litre
    left.filter(has_text=f"{litres - 1:.1f} l left").wait_for()
    assert page.locator(".q-page").evaluate("page => getComputedStyle(page).filter") == "none"


def test_a_level_is_grey_and_says_since_when_once_its_device_is_silent(
    open_page: OpenPage, hub: Hub, api: httpx.Client, key: rsa.RSAPrivateKey, tap: dict[str, Any]
) -> None:
    pour(api, key, 540)
    page = open_page("taps")
    card = page.locator(".q-card", has=page.get_by_text(f"{NASTY} Helles"))
    card.get_by_text("last pour").wait_for()
    card.get_by_text("not current").wait_for(state="hidden")
    with closing(Store(hub.home.database())) as store:
        store.write(
            lambda connection: connection.execute(
                update(schema.devices).values(last_seen_ms=schema.devices.c.last_seen_ms - 3 * HOUR_MS)
            )
        )
    api.put("/api/settings", json=api.get("/api/settings").json()).raise_for_status()  # the page looks anew
    card.get_by_text("not current: device last heard of 3 h ago").wait_for()
    assert OLD in (card.get_by_text(" l left").first.get_attribute("class") or "")
    pours = open_page("pours")
    pours.get_by_text("not current: device last heard of 3 h ago").wait_for()
    assert OLD in (pours.get_by_text(" l left · last pour").first.get_attribute("class") or "")
    devices = open_page("devices")
    assert OLD in (devices.get_by_role("cell", name="silent: last 3 h ago").get_attribute("class") or "")
    pour(api, key, 540)
    card.get_by_text("not current").wait_for(state="hidden")


@pytest.mark.case(158)
def test_a_page_says_of_when_it_is_while_the_database_cannot_be_read(tmp_path: Path, chromium: Any) -> None:
    home = Home(tmp_path / "other")
    home.initialise(["localhost", "127.0.0.1"], None, utc_now())
    other = Hub(home)
    other.start()
    context = chromium.new_context(ignore_https_errors=True)
    try:
        page = context.new_page()
        page.set_default_timeout(WAIT_S * 1000)
        page.goto(f"{other.url}/?token={home.token()}")
        page.goto(f"{other.url}/ui/taps")
        notice = page.get_by_text("Nothing new can be shown now: what stands here is of")
        page.get_by_role("link", name="Pours").wait_for()
        assert not notice.is_visible()
        database = tmp_path / "other" / "hub.db"
        database.write_bytes(b"of another program" * 1000)
        trust = ssl.create_default_context(cafile=home.ca_certificate)
        headers = {"Authorization": f"Bearer {home.token()}"}
        with httpx.Client(base_url=other.url, verify=trust, headers=headers, trust_env=False) as api:
            assert api.post("/api/taps", json={"name": "never"}).status_code == 503  # and so it is noticed
        notice.wait_for()
        assert page.locator(".q-header").evaluate("one => getComputedStyle(one).opacity") == "0.5"
        assert notice.evaluate("one => getComputedStyle(one).opacity") == "1"
    finally:
        context.close()
        other.stop()
