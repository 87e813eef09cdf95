"""Who lets others in, in a real browser: tokens and invitations for admins, and the look of the hub for operators."""

import ssl
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import segno

from kegnet_client.hub.app import wall_ms
from kegnet_client.hub.domain.roles import Role
from kegnet_client.hub.store import tokens
from kegnet_client.hub.store.records import Store

from .conftest import NASTY, Hub, OpenPage, enrol

pytestmark = pytest.mark.process


def test_a_token_is_made_shown_once_and_revoked(open_page: OpenPage, hub: Hub) -> None:
    page = open_page("settings", width=360, height=740)
    page.get_by_label("Who has it").fill(NASTY)
    page.get_by_role("radio", name="changes what is said, too").click()
    page.get_by_role("button", name="Make a token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("It is shown this once").wait_for()
    token = dialog.locator(".select-all").inner_text()
    dialog.get_by_role("img", name="The same as a QR code").wait_for()
    dialog.get_by_role("button", name="Close").click()
    dialog.wait_for(state="detached")
    assert page.get_by_text(token).count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    headers = {"Authorization": f"Bearer {token}"}
    trust = ssl.create_default_context(cafile=hub.home.ca_certificate)
    with httpx.Client(base_url=hub.url, verify=trust, headers=headers, trust_env=False) as other:
        assert other.post("/api/taps", json={"name": "Left"}).status_code == 201
        page.get_by_role("button", name=f"Revoke {NASTY}").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        page.get_by_role("button", name=f"Revoke {NASTY}").wait_for(state="detached")
        page.wait_for_timeout(1500)  # for as long as an answer about a token is trusted
        assert other.get("/api/taps").status_code == 401


def test_a_device_is_invited_and_joins(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("devices", width=360, height=740)
    page.get_by_label("What it shall be called").fill(f"{NASTY} cellar")
    page.get_by_role("button", name="Make the command").click()
    dialog = page.get_by_role("dialog")
    command = dialog.locator(".select-all").inner_text()
    dialog.get_by_role("img", name="The same as a QR code").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("button", name=f"Cancel the invitation of {NASTY} cellar").wait_for()
    done = enrol(tmp_path, command)
    assert done.returncode == 0, done.stderr
    page.get_by_role("cell", name=f"{NASTY} cellar").wait_for()
    assert page.get_by_role("button", name="Cancel the invitation").count() == 0
    page.get_by_label("Device", exact=True).click()
    page.get_by_role("option", name=f"{NASTY} cellar").click()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    page.get_by_role("cell", name="revoked, ").wait_for()


def test_an_invitation_that_was_cancelled_lets_nobody_in(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("devices")
    page.get_by_role("button", name="Make the command").click()
    command = page.get_by_role("dialog").locator(".select-all").inner_text()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Cancel the invitation of A device").click()
    page.get_by_role("button", name="Cancel the invitation").wait_for(state="detached")
    done = enrol(tmp_path, command)
    assert done.returncode != 0
    assert "expired" in done.stderr


@pytest.mark.parametrize("role", [Role.READ, Role.OPERATE])
def test_who_is_no_admin_is_shown_nothing_of_it(open_page: OpenPage, hub: Hub, role: Role) -> None:
    page = open_page("settings", hub.token(f"one who may {role.word}", role))
    page.get_by_role("link", name="Settings").wait_for()
    assert page.get_by_text("Tokens").count() == 0
    page.goto(f"{hub.url}/ui/devices")
    page.get_by_role("columnheader", name="Last heard of").wait_for()
    assert page.get_by_text("Let another device in").count() == 0
    assert page.get_by_role("button", name="Revoke").count() == 0


def test_the_logo_and_the_colour_are_settings(open_page: OpenPage, api: httpx.Client, tmp_path: Path) -> None:
    before = api.get("/api/settings").json()
    wrong, logo = tmp_path / "wrong.png", tmp_path / "logo.png"
    wrong.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    segno.make("kegs").save(str(logo), scale=4)
    page = open_page("settings")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Logo").first.click()
    chooser.value.set_files(wrong)
    page.get_by_text("This is no image of one of these kinds").wait_for()
    chooser.value.set_files(logo)
    page.get_by_role("button", name="Without a logo").wait_for()
    page.get_by_label("Colour").fill("#115E59")
    page.get_by_role("button", name="Save").first.click()
    page.locator("header img[src^='data:image/png;base64,']").wait_for()
    assert page.locator("header").evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(17, 94, 89)"
    saved = api.get("/api/settings").json()
    assert (saved["accent"], saved["logo"][:15]) == ("#115e59", "data:image/png;")
    page.get_by_role("button", name="Without a logo").click()
    page.get_by_role("button", name="Save").first.click()
    page.locator("header img").wait_for(state="detached")
    assert api.put("/api/settings", json=before).status_code == 200


def test_who_is_logged_in_sees_as_whom_and_logs_out(open_page: OpenPage, hub: Hub) -> None:
    page = open_page("taps", hub.token("the tablet", Role.READ))
    page.get_by_text("Logged in as the tablet.").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    page.goto(f"{hub.url}/ui/taps")
    page.wait_for_url("**/login")


def test_an_open_page_whose_token_is_revoked_says_so_at_the_login(open_page: OpenPage, hub: Hub) -> None:
    page = open_page("taps", hub.token("a lost phone", Role.OPERATE))
    page.get_by_text("Logged in as a lost phone.").wait_for()
    with closing(Store(hub.home.database())) as store:
        store.write(lambda connection: tokens.revoke(connection, "a lost phone", "", wall_ms()))
    page.get_by_role("alert").get_by_text("was revoked or has expired: log in again").wait_for()
    assert page.get_by_label("Token").is_visible()
    page.goto(f"{hub.url}/ui/taps")
    page.wait_for_url("**/login")
