"""No page is made beyond as many as may be open at once."""

import asyncio
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="takes the extra dashboard")

from nicegui import Client
from starlette.responses import PlainTextResponse

from kegnet_client.hub.dashboard.mount import ARRIVAL_S, MAX_PAGES, PageLimit


def status(path: str) -> int:
    """What somebody who asks for ``path`` gets."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope: dict[str, Any] = {"type": "http", "path": path, "method": "GET", "headers": []}
    asyncio.run(PageLimit(PlainTextResponse("the page"))(scope, receive, send))
    found: int = sent[0]["status"]
    return found


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """As many as may be open."""
    pages: dict[str, Any] = dict.fromkeys(map(str, range(MAX_PAGES)))
    monkeypatch.setattr(Client, "instances", pages)
    monkeypatch.setattr(Client, "prune_instances", lambda **_: None)
    return pages


def test_one_too_many_is_told_to_come_back_and_what_is_no_page_is_served(pages: dict[str, Any]) -> None:
    assert status("/ui/taps") == 503
    assert status("/ui/_nicegui/x.js") == 200
    del pages["0"]
    assert status("/ui/taps") == 200


def test_those_whose_websocket_never_came_make_room(pages: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds = []

    def prune(*, client_age_threshold: float) -> None:
        thresholds.append(client_age_threshold)
        pages.clear()

    monkeypatch.setattr(Client, "prune_instances", prune)
    assert status("/ui/taps") == 200
    assert thresholds == [ARRIVAL_S]
