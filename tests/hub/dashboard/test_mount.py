"""A page is made for as long as its reads may take, and one that nobody waits for any more leaves nothing behind."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="takes the extra dashboard")

import httpx
from fastapi import FastAPI, Request
from nicegui import Client, background_tasks, ui

from kegnet_client.hub import access
from kegnet_client.hub.bus import Bus
from kegnet_client.hub.dashboard import mount
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.domain.roles import FIRST
from kegnet_client.hub.entrance import Entrance
from kegnet_client.hub.store import bodies
from kegnet_client.hub.store.records import Store

NICEGUIS_OWN_LIMIT_S = 3.0


def test_a_page_that_is_slow_to_read_is_shown_and_one_left_meanwhile_follows_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[str] = []

    async def slow(_hub: Hub, _request: Request) -> None:
        await asyncio.sleep(NICEGUIS_OWN_LIMIT_S + 0.2)
        ui.label("it is here")

    async def left(hub: Hub, _request: Request) -> None:
        ui.context.client.delete()
        Visit(hub, FIRST, bodies.Settings()).follow((), refresh)

    async def refresh() -> None:
        followed.append("for nobody")

    pages: dict[str, Any] = {"slow": SimpleNamespace(page=slow), "left": SimpleNamespace(page=left)}
    monkeypatch.setattr(mount, "PAGES", pages)
    app = FastAPI()
    mount.mount(app, store, Bus(store), lambda: 1000, Entrance(lambda: ["hub"], 8443, b""), "")

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
            answers = [await client.get(f"https://hub{access.PAGES_PATH}/{name}") for name in pages]
            await asyncio.sleep(0)
            assert not [one for one in background_tasks.running_tasks if one.get_name() == "page"]
        return answers

    shown, gone = asyncio.run(ask())
    Client.instances.clear()
    assert (shown.status_code, gone.status_code) == (200, 500)
    assert "it is here" in shown.text
    assert followed == []
