"""Who sets a hub up alone leaves its first run, which does not come back, in a real browser."""

import httpx
import pytest

from kegnet_client.hub.domain.roles import Role

from .conftest import Hub, OpenPage

pytestmark = pytest.mark.process


def test_it_does_not_come_back(open_page: OpenPage, hub: Hub, api: httpx.Client) -> None:
    page = open_page("taps", hub.token("who operates", Role.OPERATE))
    page.get_by_text("Step 1 of 4").wait_for()
    settings = {**api.get("/api/settings").json(), "first_run": "device"}
    assert api.put("/api/settings", json=settings).status_code == 200
    assert api.post("/api/taps", json={"name": "Spare"}).status_code == 201
    page.goto(f"{hub.url}/ui/taps")
    page.get_by_role("button", name="Go on setting up").click()
    page.get_by_text("Only an admin's token lets a device in").wait_for()
    assert page.get_by_role("button", name="Make the command").count() == 0
    page.get_by_role("button", name="I set it up myself").click()
    page.wait_for_url(f"{hub.url}/ui/taps")
    page.get_by_text("Spare").wait_for()
    assert page.get_by_role("button", name="Go on setting up").count() == 0
    assert api.get("/api/settings").json()["first_run"] == "over"
    (said,) = api.get("/api/settings/history").json()["items"][-1:]
    assert said["said_by"] == "who operates"
