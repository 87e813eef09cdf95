"""No page is made beyond as many as may be open at once."""

import asyncio
from typing import Any, Literal

import pytest

pytest.importorskip("nicegui", reason="takes the extra dashboard")

from nicegui import Client
from starlette.responses import PlainTextResponse

from kegnet_client.hub.dashboard.mount import ARRIVAL_S, MAX_PAGES, PageLimit
from kegnet_client.hub.store import bodies


def ask(path: str, language: Literal["en", "de"] = "en") -> tuple[int, str]:
    """What somebody who asks for ``path`` gets, where the hub speaks this language."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope: dict[str, Any] = {"type": "http", "path": path, "method": "GET", "headers": []}

    async def read_settings() -> bodies.Settings:
        return bodies.Settings(language=language)

    asyncio.run(PageLimit(PlainTextResponse("the page"), read_settings)(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode()


def status(path: str) -> int:
    """The status of that."""
    return ask(path)[0]


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
    assert ask("/ui/taps")[1].startswith(f"{MAX_PAGES} pages are open already")
    assert ask("/ui/taps", "de")[1].startswith(f"{MAX_PAGES} Seiten sind schon offen")
    del pages["0"]
    assert status("/ui/taps") == 200


def test_twenty_people_with_two_pages_each_may_go_on_to_another_page_at_once(pages: dict[str, Any]) -> None:
    for number in range(40, MAX_PAGES):
        del pages[str(number)]
    for person in range(20):  # what they leave counts until it cannot come back any more
        assert status("/ui/alarms") == 200
        pages[f"another one of {person}"] = None


def test_those_whose_websocket_never_came_make_room(pages: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds = []

    def prune(*, client_age_threshold: float) -> None:
        thresholds.append(client_age_threshold)
        pages.clear()

    monkeypatch.setattr(Client, "prune_instances", prune)
    assert status("/ui/taps") == 200
    assert thresholds == [ARRIVAL_S]
