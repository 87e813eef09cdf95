"""What a person says that a pour was, in a real browser: by dragging it, by keyboard, and undone."""

from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.hub.domain.roles import Role

from .conftest import NASTY, Hub, OpenPage, pour

pytestmark = pytest.mark.process
OTHER = "<script>alert(2)</script> Bock"


@pytest.fixture(scope="module")
def other_keg(api: httpx.Client, tap: dict[str, Any]) -> int:
    """A keg on no tap."""
    beverage = api.post("/api/beverages", json={"name": OTHER}).json()["id"]
    keg: int = api.post("/api/kegs", json={"size_ml": 30_000, "beverage": beverage}).json()["id"]
    assert keg != tap["id"]
    return keg


def found(api: httpx.Client, pulses: int) -> dict[str, Any]:
    """The pour of so many pulses."""
    (row,) = [one for one in api.get("/api/pours").json()["items"] if one["pulses"] == pulses]
    return dict(row)


def row_of(page: Any, volume: str) -> Any:
    return page.get_by_role("listitem").filter(has_text=volume).last


def test_a_pour_is_dragged_to_another_keg_and_that_is_undone(
    open_page: OpenPage, api: httpx.Client, key: rsa.RSAPrivateKey, other_keg: int
) -> None:
    pour(api, key, 3000)
    before = found(api, 3000)["keg"]
    page = open_page("pours")
    target = page.get_by_text(f"{OTHER} #{other_keg}").last
    was_there = target.element_handle()
    row_of(page, "556 ml").drag_to(target)
    page.get_by_role("status").get_by_text(f"It was from keg {OTHER} #{other_keg}").wait_for()
    page.get_by_text("29.4 l left · last pour").wait_for()
    assert was_there.evaluate("one => one.isConnected"), "whoever drags the next one there drops it on nothing"
    assert (found(api, 3000)["keg"], found(api, 3000)["adjustment"]) == (other_keg, "keg")
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("30.0 l left").wait_for()
    assert (found(api, 3000)["keg"], found(api, 3000)["adjustment"]) == (before, None)
    history = api.get(f"/api/adjustments/{found(api, 3000)['id']}/history").json()["items"]
    assert [(one["what"], one["said_by"]) for one in history] == [("keg", "init"), ("none", "init")]


@pytest.mark.usefixtures("tap")
def test_a_pour_is_dragged_to_nobody_drank_it(open_page: OpenPage, api: httpx.Client, key: rsa.RSAPrivateKey) -> None:
    pour(api, key, 3100)
    page = open_page("pours")
    row_of(page, "574 ml").drag_to(page.get_by_text("Nobody drank it").last)
    page.get_by_role("status").get_by_text("Nobody drank it").wait_for()
    assert found(api, 3100)["adjustment"] == "spill"


def test_the_same_by_keyboard_and_the_volume_that_was_said_stays(
    open_page: OpenPage, api: httpx.Client, key: rsa.RSAPrivateKey, other_keg: int
) -> None:
    pour(api, key, 3200)
    page = open_page("pours", width=360, height=740)
    page.get_by_role("button", name="Change 593 ml").focus()
    page.keyboard.press("Enter")
    page.get_by_role("radio", name="The volume was").focus()
    page.keyboard.press("Space")
    page.get_by_label("Volume (ml)").fill("400")
    page.get_by_label("Why").fill(NASTY)
    page.get_by_role("button", name="Save").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("button", name="Change 400 ml").focus()
    page.keyboard.press("Enter")
    page.get_by_text(f"The volume was 400 ml ({NASTY})").last.wait_for()
    page.get_by_role("radio", name="It was from keg").click()
    page.get_by_role("dialog").get_by_label("Keg", exact=True).click()
    page.get_by_role("option", name=OTHER).click()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("status").get_by_text(f"It was from keg 400 ml {OTHER}").wait_for()
    row = found(api, 3200)
    assert (row["keg"], row["volume_nl"]) == (other_keg, 400_000_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_what_belongs_to_no_keg_lies_in_the_tray_until_it_is_dragged_out(
    open_page: OpenPage, api: httpx.Client, key: rsa.RSAPrivateKey, other_keg: int
) -> None:
    page = open_page("pours")
    page.get_by_role("switch", name="Unassigned only").wait_for()
    assert not page.get_by_text("From no keg yet").is_visible()
    pour(api, key, 4321, pin=9)
    page.get_by_text("From no keg yet").wait_for()
    row = page.get_by_role("listitem").filter(has_text="4321 pulses").first
    row.drag_to(page.get_by_text(f"{OTHER} #{other_keg}").last)
    page.get_by_text("From no keg yet").wait_for(state="hidden")
    assert found(api, 4321)["keg"] == other_keg


def test_the_history_of_a_keg_says_who_and_when_and_undoes_the_last(
    open_page: OpenPage, hub: Hub, api: httpx.Client
) -> None:
    keg = api.post("/api/kegs", json={"size_ml": 11_000}).json()
    by_hand = {"Authorization": f"Bearer {hub.token('Anna', Role.OPERATE)}"}
    changed = {"size_ml": 12_000}
    assert api.put(f"/api/kegs/{keg['id']}", json=changed, headers=by_hand).json()["said_by"] == "Anna"
    page = open_page("pours")
    page.get_by_role("button", name=f"History of #{keg['id']}").click()
    page.get_by_text("a keg, 12.0 l").wait_for()
    page.get_by_text("Anna, 20").wait_for()
    page.get_by_text("init, 20").wait_for()
    page.get_by_role("button", name="Undo the last").click()
    page.get_by_text("11.0 l left").wait_for()
    assert api.get(f"/api/kegs/{keg['id']}").json()["size_ml"] == 11_000


@pytest.mark.usefixtures("tap")
def test_a_guest_is_shown_the_history_and_nothing_that_changes(
    open_page: OpenPage, hub: Hub, api: httpx.Client, key: rsa.RSAPrivateKey
) -> None:
    pour(api, key, 3300)
    page = open_page("pours", hub.token("a guest with a glass", Role.READ))
    page.get_by_text("611 ml").wait_for()
    assert page.locator("[draggable=true]").count() == 0
    assert page.get_by_role("button", name="Change").count() == 0
    page.get_by_role("button", name="History of").first.click()
    page.get_by_role("dialog").get_by_text("init, 20").first.wait_for()
    assert page.get_by_role("button", name="Undo").count() == 0


def test_pours_of_a_day_or_a_tap_are_found_and_taken_along(
    open_page: OpenPage, api: httpx.Client, key: rsa.RSAPrivateKey, tap: dict[str, Any]
) -> None:
    pour(api, key, 3300)
    pour(api, key, 3400, pin=9)
    page = open_page("pours")
    row_of(page, "3400 pulses").wait_for()
    page.get_by_role("combobox", name="Tap").click()
    page.get_by_role("option", name=tap["name"]).click()
    row_of(page, "611 ml").wait_for()
    page.get_by_role("list").last.get_by_text("3400 pulses").wait_for(state="detached")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("id,device,pin,pulses,")
    assert len(lines) == 1 + len(api.get(f"/api/pours?tap={tap['id']}").json()["items"])
    page.get_by_label("From").fill("2100-01-01")
    page.get_by_text("No such pours.").wait_for()
