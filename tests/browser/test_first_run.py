"""A fresh hub leads whoever opens it through name, units, first device and first keg, in a real browser."""

from pathlib import Path

import httpx
import pytest

from kegnet_client.hub.domain.roles import Role

from .conftest import NASTY, Hub, OpenPage, enrol, pour

pytestmark = pytest.mark.process


def test_from_a_name_to_a_keg_on_a_tap_and_on_where_it_was_left(
    request: pytest.FixtureRequest, open_page: OpenPage, hub: Hub, api: httpx.Client, tmp_path: Path
) -> None:
    guest = open_page("taps", hub.token("a guest", Role.READ))
    guest.get_by_text("No tap is set up yet.").wait_for()
    guest.goto(f"{hub.url}/ui/setup")
    guest.get_by_text("You may look, and change nothing.").wait_for()
    assert guest.get_by_role("button").all_inner_texts() == ["Log out"]

    page = open_page("taps", width=360, height=740)
    page.wait_for_url(f"{hub.url}/ui/setup")
    page.get_by_text("Step 1 of 4").wait_for()
    page.get_by_label("Name, as every page shows it").fill(NASTY)
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Step 2 of 4").wait_for()
    page.get_by_role("banner").get_by_text(NASTY).wait_for()
    page.get_by_role("radio", name="US gallons").click()
    page.get_by_label("Time zone").fill("Nowhere")
    page.get_by_role("button", name="Next").click()
    page.get_by_text("expected a time zone").wait_for()
    page.get_by_label("Time zone").fill("America/New_York")
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Step 3 of 4").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    page = open_page("taps")  # another screen, where it was left
    page.get_by_text("Step 3 of 4").wait_for()
    page.get_by_label("What it shall be called").fill(f"{NASTY} bar")
    page.get_by_role("button", name="Make the command").click()
    page.get_by_role("img", name="The same as a QR code").wait_for()
    done = enrol(tmp_path, page.locator(".select-all").inner_text())
    assert done.returncode == 0, done.stderr
    page.get_by_text(f"{NASTY} bar has joined.").wait_for()
    page.get_by_role("button", name="Next").click()

    page.get_by_text("Step 4 of 4").wait_for()
    key = request.getfixturevalue("key")  # of another device, which is there without having joined
    page.get_by_role("button", name="Back").click()
    page.get_by_text("Step 3 of 4").wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Step 4 of 4").wait_for()
    pour(api, key, 77, pin=3)
    page.get_by_role("status").get_by_text(f"77 pulses came from {NASTY}, pin 3.").wait_for()
    page.get_by_role("button", name="Tap it").click()
    page.get_by_text("This cannot be").wait_for()
    assert api.get("/api/taps").json()["items"] == []
    page.get_by_label("Beverage").fill(f"{NASTY} Ale")
    page.get_by_label("Size (US gallons)").fill("5")
    page.get_by_role("button", name="Tap it").click()
    page.wait_for_url(f"{hub.url}/ui/taps")
    page.get_by_text("5.00 gal left").wait_for()
    (tap,) = api.get("/api/taps").json()["items"]
    assert (tap["meters"][0]["pin"], tap["said_by"], tap["beverage"]["name"]) == (3, "init", f"{NASTY} Ale")
    page.goto(f"{hub.url}/ui/setup")
    page.get_by_text("This hub is set up.").wait_for()
