"""A meter is calibrated by a measured pour, in a real browser."""

from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.hub.domain.roles import Role

from .conftest import NASTY, Hub, OpenPage, pour

pytestmark = pytest.mark.process


def volumes(api: httpx.Client) -> dict[int, int]:
    """By its pulses, what each pour is."""
    return {one["pulses"]: one["volume_nl"] for one in api.get("/api/pours").json()["items"]}


def test_by_what_the_jug_says_from_that_pour_on_and_it_is_taken_back(
    open_page: OpenPage, api: httpx.Client, key: rsa.RSAPrivateKey, tap: dict[str, Any]
) -> None:
    pour(api, key, 1080)
    page = open_page("taps", width=360, height=740)
    page.get_by_role("button", name="Calibrate").click()
    page.get_by_text("Now: 0.1852 ml a pulse (5.400 pulses a ml)").wait_for()
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Waiting for the pour").wait_for()
    pour(api, key, 5400)
    page.get_by_text("5400 pulses · 1.00 l by the figure of now").wait_for()
    assert page.get_by_text("1080 pulses").count() == 0
    page.get_by_label("In the jug (ml)").fill("1100")
    page.get_by_text("New: 0.2037 ml a pulse (4.909 pulses a ml), +10.0 %").wait_for()
    page.get_by_role("row").filter(has_text="Helles").get_by_text("1.1 l").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert volumes(api) == {1080: 1080 * 185_185, 5400: 5400 * 185_185}
    page.get_by_role("button", name="Accept").click()
    page.get_by_text("measured: 1100 ml for 5400 pulses").wait_for()
    page.get_by_text("Now: 0.2037 ml a pulse").wait_for()
    assert volumes(api) == {1080: 1080 * 185_185, 5400: 5400 * 203_704}
    (said,) = api.get("/api/calibrations").json()["items"]
    assert (said["said_by"], said["volume_ml"], said["pulses"]) == ("init", 1100, 5400)
    page.get_by_role("button", name="Take back").click()
    page.get_by_text("Now: 0.1852 ml a pulse").wait_for()
    assert volumes(api)[5400] == 5400 * 185_185
    page.get_by_role("button", name="Let it hold again").click()
    page.get_by_text("Now: 0.2037 ml a pulse").wait_for()
    history = api.get(f"/api/calibrations/{said['id']}/history").json()["items"]
    assert [one["ended_ms"] is None for one in history] == [True, False, True]
    page.get_by_role("button", name="Take back").click()
    page.get_by_text("Now: 0.1852 ml a pulse").wait_for()


@pytest.mark.slow
def test_by_what_it_weighs_from_a_date_on_and_where_it_was_left(
    open_page: OpenPage, hub: Hub, api: httpx.Client, key: rsa.RSAPrivateKey, tap: dict[str, Any]
) -> None:
    page = open_page(f"calibrate?tap={tap['id']}")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Waiting for the pour").wait_for()
    pour(api, key, 4000)
    page.get_by_text("4000 pulses").first.wait_for()
    page.reload()
    page.get_by_text("4000 pulses").first.wait_for()
    page.get_by_text("Weight", exact=True).click()
    page.get_by_label("Weight without the jug (g)").fill("812")
    page.get_by_text("New: 0.2000 ml a pulse (5.000 pulses a ml), +8.0 %").wait_for()
    page.get_by_text("from a date on").click()
    page.get_by_label("From", exact=True).fill("2020-01-01T00:00")
    before = sum(volumes(api).values()) / 1e9
    after = sum(volumes(api)) * 0.0002
    page.get_by_role("row").filter(has_text="Helles").filter(has_text=f"{before:.1f} l").get_by_text(
        f"{after:.1f} l"
    ).wait_for()
    page.get_by_role("button", name="Accept").click()
    page.get_by_text("measured: 812 g for 4000 pulses").wait_for()
    assert all(volume == pulses * 200_000 for pulses, volume in volumes(api).items())


def test_a_guest_sees_the_calibrations_and_is_shown_nothing_that_changes(
    open_page: OpenPage, hub: Hub, tap: dict[str, Any]
) -> None:
    page = open_page("calibrate", hub.token("a guest", Role.READ))
    page.get_by_text("You may look, and change nothing.").wait_for()
    page.get_by_text("Calibrations of this meter").wait_for()
    assert page.get_by_role("button").all_inner_texts() == ["Log out"]
    page.get_by_text(NASTY).first.wait_for()
