"""Anybody may read where the hub is open for it, and nobody may do more."""

import ssl
from collections.abc import Callable

import httpx
import pytest

from kegnet_client.hub.home import Home
from kegnet_client.hub.hub_section import HubSettings
from kegnet_client.hub.store.records import Store

from ..support.waits import WAIT_S
from .conftest import Serve

Open = Callable[..., httpx.Client]


@pytest.fixture
def open_hub(hub_home: Home, store: Store, start: Serve, trust: ssl.SSLContext) -> Open:
    """``open_hub(public_view=True)``: a client without a token, of a hub with these settings."""

    def make(**settings: object) -> httpx.Client:
        url = start(hub_home, store, settings=HubSettings(**settings))  # type: ignore[arg-type]  # by name
        return httpx.Client(base_url=url, verify=trust, trust_env=False, timeout=WAIT_S)

    return make


def test_with_a_public_view_anybody_reads_and_nobody_changes_anything(open_hub: Open) -> None:
    with open_hub(public_view=True) as anybody:
        for path in ("/api/taps", "/api/pours", "/docs", "/openapi.json"):
            assert anybody.get(path).status_code == 200, path
        assert anybody.get("/api/tokens").status_code == 403
        assert anybody.post("/api/taps", json={"name": "x"}).status_code == 403
        assert anybody.get("/api/taps", headers={"Authorization": "Bearer wrong"}).status_code == 200


def test_public_metrics_are_nothing_else(open_hub: Open) -> None:
    with open_hub(public_metrics=True) as anybody:
        assert anybody.get("/metrics").status_code != 401
        assert anybody.get("/api/taps").status_code == 401
        assert anybody.post("/metrics").status_code == 401
