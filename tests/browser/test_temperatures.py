"""Temperatures: a range that stands in the address, and a closer look, which is read anew."""

import re
import time
from contextlib import closing

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.hub.store.records import Store

from ..hub.test_buckets import ONE, SENSOR, TWO, fill
from ..support.waits import wait_until
from .conftest import Hub, OpenPage


@pytest.fixture(scope="module")
def readings(hub: Hub, key: rsa.RSAPrivateKey) -> None:
    """One a minute of the last hours."""
    now_ms = time.time_ns() // 1_000_000
    with closing(Store(hub.home.database())) as store:
        for device in (ONE, TWO):
            store.add_device(device, key.public_key(), "cellar", now_ms)
        fill(store, [(ONE, SENSOR, now_ms - minutes * 60_000, 4500 + minutes % 60) for minutes in range(300)])


@pytest.mark.usefixtures("readings")
def test_a_range_stands_in_the_address_and_a_closer_look_is_read_anew(open_page: OpenPage) -> None:
    page = open_page("temperatures")
    page.get_by_role("button", name="6 hours").click()
    page.wait_for_url("**/temperatures?hours=6")
    heard: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(str(frame))))
    page.reload()
    chart = page.locator(".nicegui-echart canvas").first
    chart.wait_for()
    assert page.get_by_role("button", name="6 hours").get_attribute("aria-pressed") == "true"
    chart.hover()
    page.mouse.wheel(0, -600)
    # Every refresh brings the options again; only a look that was heard of brings a part of the range.
    starts = re.compile(r'"start":([0-9.]+)')
    wait_until(
        lambda: any(float(one) > 0 for frame in heard for one in starts.findall(frame)) or page.wait_for_timeout(50),
        "nothing is read anew",
    )


@pytest.mark.usefixtures("readings")
def test_in_german_the_chart_tells_a_reading_with_a_comma(open_page: OpenPage, api: httpx.Client) -> None:
    settings = api.get("/api/settings").json()
    assert api.put("/api/settings", json={**settings, "language": "de"}).status_code == 200
    try:
        page = open_page("temperatures?hours=6")
        page.locator(".nicegui-echart canvas").first.hover()
        page.get_by_text(re.compile("^4,[56]$")).first.wait_for()
    finally:
        assert api.put("/api/settings", json=settings).status_code == 200
