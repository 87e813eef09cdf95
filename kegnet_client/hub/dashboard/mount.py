"""Mounts the pages into the hub, once a process: NiceGUI has one application of its own.

A page whose websocket never comes keeps its memory for a minute, and one that was left for `RECONNECT_S`. So there are
at most `MAX_PAGES` at once, counting those: the former go when there are as many, and if that is not enough, one more
page is a 503. The websocket is the only way that pages talk.
"""

from collections.abc import Awaitable, Callable
from types import ModuleType

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from nicegui import Client, core, ui
from starlette.types import ASGIApp, Receive, Scope, Send

from kegnet_client.hub import access
from kegnet_client.hub.bus import Bus
from kegnet_client.hub.dashboard import (
    alarms,
    calibrate,
    debugger,
    devices,
    farewell,
    pours,
    profiles,
    settings,
    setup,
    taps,
    temperatures,
)
from kegnet_client.hub.dashboard.context import Hub
from kegnet_client.hub.dashboard.words import Words
from kegnet_client.hub.entrance import Entrance
from kegnet_client.hub.store import bodies, house
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

MAX_PAGES = 60
"""Twenty people with two pages each, who go from page to page: one that was just left counts for `RECONNECT_S`,
too, and with forty they are turned away."""
RECONNECT_S = 15.0
ARRIVAL_S = 5.0
"""For a page's websocket, where pages are short."""
BUILD_S = 30.0
"""For what a page reads before it is shown. Each read has its own limit; NiceGUI's own 3 s for all of them are too few
where devices bring what they have kept, as they do when the hub has just been started anew."""
PAGES: dict[str, ModuleType] = {
    "taps": taps,
    "temperatures": temperatures,
    "pours": pours,
    "profiles": profiles,
    "calibrate": calibrate,
    "alarms": alarms,
    "devices": devices,
    "settings": settings,
    "setup": setup,
    "debugger": debugger,
}
"""Each page and its file; another one is a file and its name here."""


def mount(
    app: FastAPI,
    store: Store,
    bus: Bus,
    clock_ms: Callable[[], int],
    entrance: Entrance,
    first_sha256: str,
    notified: int = 0,
) -> None:
    """Let ``app`` show the pages below `access.PAGES_PATH`.

    ``first_sha256`` is of the token of ``hub init``; so many addresses are ``notified`` of alarms.
    """
    hub = Hub(store, bus, clock_ms, entrance, first_sha256, notified)
    for name, module in PAGES.items():
        ui.page(f"/{name}", response_timeout=BUILD_S)(_show(hub, module))

    @core.app.get("/")
    def first(request: Request) -> RedirectResponse:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/taps", 303)

    core.app.add_middleware(PageLimit, read_settings=lambda: hub.read(house.read_settings))
    app.state.on_gone = farewell.tell_gone
    app.state.home = f"{access.PAGES_PATH}/taps"
    ui.run_with(
        app,
        mount_path=access.PAGES_PATH,
        dark=None,
        title="KegNet hub",
        reconnect_timeout=RECONNECT_S,
        show_welcome_message=False,
    )
    core.app.config.socket_io_js_transports = ["websocket"]


def _show(hub: Hub, module: ModuleType) -> Callable[[Request], Awaitable[Response | None]]:
    async def page(request: Request) -> Response | None:
        answer: Response | None = await module.page(hub, request)
        return answer

    return page


class PageLimit:
    """ASGI middleware that makes no page beyond `MAX_PAGES`, and says so in the language of the settings."""

    def __init__(self, app: ASGIApp, read_settings: Callable[[], Awaitable[bodies.Settings]]) -> None:
        self._app = app
        self._read_settings = read_settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = str(scope.get("path", "")).rpartition("/")[2]
        is_page = scope["type"] == "http" and name in PAGES
        if is_page and len(Client.instances) >= MAX_PAGES:
            Client.prune_instances(client_age_threshold=ARRIVAL_S)
        if is_page and len(Client.instances) >= MAX_PAGES:
            try:
                language = (await self._read_settings()).language
            except StoreError:
                language = "en"
            text = Words(language)("pages_open", count=MAX_PAGES)
            await PlainTextResponse(f"{text}\n", 503, {"Retry-After": "60"})(scope, receive, send)
        else:
            await self._app(scope, receive, send)
