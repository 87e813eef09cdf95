"""A page is made for as long as its reads may take, and one that nobody waits for any more leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="takes the extra dashboard")

import httpx
from fastapi import FastAPI, Request
from nicegui import Client, background_tasks, core, ui

from kegnet_client.hub import access
from kegnet_client.hub.bus import Bus, Subscription
from kegnet_client.hub.dashboard import mount
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.monitor import Monitor
from kegnet_client.hub.domain.roles import FIRST
from kegnet_client.hub.entrance import Entrance
from kegnet_client.hub.store import bodies, events
from kegnet_client.hub.store.records import Store

from ..conftest import NOW_MS

NICEGUIS_OWN_LIMIT_S = 3.0


Page = Callable[[Hub, Request], Awaitable[None]]
Ask = Callable[[dict[str, Page], Bus], list[httpx.Response]]


@pytest.fixture
def ask(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """``ask(pages, bus)``: what each of ``pages`` answers."""

    def ask(pages: dict[str, Page], bus: Bus) -> list[httpx.Response]:
        modules: dict[str, Any] = {name: SimpleNamespace(page=page) for name, page in pages.items()}
        monkeypatch.setattr(mount, "PAGES", modules)
        # NiceGUI has one application a process, which has begun with the test before.
        monkeypatch.setattr(core.app, "middleware_stack", None)
        monkeypatch.setattr(core.app, "user_middleware", list(core.app.user_middleware))
        app = FastAPI()
        mount.mount(app, store, bus, lambda: NOW_MS, Entrance(lambda: ["hub"], 8443, b""), "")

        async def come() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
                return [await client.get(f"https://hub{access.PAGES_PATH}/{name}") for name in pages]

        return asyncio.run(come())

    yield ask
    Client.instances.clear()


def test_a_page_that_is_slow_to_read_is_shown_and_one_left_meanwhile_follows_nothing(store: Store, ask: Ask) -> None:
    left_behind: list[str] = []

    async def slow(_hub: Hub, _request: Request) -> None:
        await asyncio.sleep(NICEGUIS_OWN_LIMIT_S + 0.2)
        ui.label("it is here")

    async def left(hub: Hub, _request: Request) -> None:
        ui.context.client.delete()
        Visit(hub, FIRST, bodies.Settings(), nullcontext()).follow((), refresh)
        left_behind.extend(one.get_name() for one in background_tasks.running_tasks if one.get_name() == "page")

    async def refresh() -> None:
        left_behind.append("a refresh for nobody")

    shown, gone = ask({"slow": slow, "left": left}, Bus(store))
    assert (shown.status_code, gone.status_code) == (200, 500)
    assert "it is here" in shown.text
    assert left_behind == []


class _LateBus(Bus):
    """Something is said just before each subscription begins."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._store = store

    @asynccontextmanager
    async def subscribe(
        self, channels: Collection[str] | None = None, *, is_client: bool = False
    ) -> AsyncIterator[Subscription]:
        news = [("data", {"channel": "data", "data": "said in between"})]
        await asyncio.to_thread(self._store.write, partial(events.append, now_ms=NOW_MS, news=news))
        async with super().subscribe(channels, is_client=is_client) as subscription:
            yield subscription


def test_what_is_said_between_the_first_read_of_the_debugger_and_its_subscription_is_shown(
    store: Store, ask: Ask
) -> None:
    shown: list[str] = []

    async def page(hub: Hub, _request: Request) -> None:
        await Monitor(Visit(hub, FIRST, bodies.Settings(), nullcontext())).begin()
        (table,) = (one for one in ui.context.client.elements.values() if isinstance(one, ui.table))
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                while not shown:
                    await asyncio.sleep(0.01)
                    shown.extend(row["data"] for row in table.rows)

    (answer,) = ask({"debugger": page}, _LateBus(store))
    assert answer.status_code == 200
    assert len(shown) == 1
    assert "said in between" in shown[0]
