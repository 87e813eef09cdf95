"""The first run: name, units, the first device and the first keg. Where it was left, it goes on, on any screen."""

from collections.abc import Callable
from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.first_keg import FirstKeg
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.dashboard.invitations import invite, show_command
from kegnet_client.hub.store import first_run

_WIDE = "w-full max-w-md"
_LOOK_S = 2.0
Fields = Callable[[], dict[str, Any]]


async def page(hub: Hub, request: Request) -> None:
    """Show the step at which it is."""
    visit = await Visit.begin(hub, request)
    words = visit.words
    step = await hub.read(first_run.read_step)
    with frame(visit, "setup"):
        if not visit.may_operate:
            return
        if step is None:
            ui.label(words("setup_over")).classes("text-xl")
            ui.button(words("taps"), on_click=lambda: ui.navigate.to("/taps")).props("no-caps")
            return
        place = first_run.STEPS.index(step)
        with ui.card().classes("w-full max-w-2xl mx-auto gap-4"):
            ui.label(words("step_of", place=place + 1, count=len(first_run.STEPS))).classes("opacity-70")
            ui.label(words(f"setup_{step}")).classes("text-2xl")
            match step:
                case "name":
                    await _step(visit, place, _ask_name(visit))
                case "units":
                    await _step(visit, place, _ask_units(visit))
                case "device":
                    await _show_devices(visit)
                    await _step(visit, place, dict)
                case _:
                    keg = FirstKeg(visit)
                    await keg.begin()
                    await _step(visit, place, None)


async def _step(visit: Visit, place: int, fields: Fields | None) -> None:
    """Add the way on, with what was typed into ``fields`` if it goes on from here, the way back and the way out."""
    words = visit.words

    async def go_to(step: str, changes: dict[str, Any], then: str) -> None:
        now_ms = visit.hub.clock_ms()
        if await visit.do(lambda connection: first_run.go_to(connection, step, changes, visit.who.name, now_ms)):
            ui.navigate.to(then)

    async def go_on() -> None:
        if fields is not None:
            await go_to(first_run.STEPS[place + 1], fields(), "/setup")

    async def go_back() -> None:
        await go_to(first_run.STEPS[place - 1], {}, "/setup")

    async def leave() -> None:
        await go_to(first_run.OVER, {}, "/taps")

    with ui.row().classes("w-full items-center gap-2"):
        if fields is not None:
            ui.button(words("go_on"), on_click=go_on).props("no-caps")
        if place:
            ui.button(words("go_back"), on_click=go_back).props("flat no-caps")
        ui.button(words("leave_setup"), on_click=leave).props("flat no-caps")


def _ask_name(visit: Visit) -> Fields:
    words, settings = visit.words, visit.settings
    name = ui.input(words("hub_name"), value=settings.name).props("maxlength=100 autofocus").classes(_WIDE)
    language = ui.select({"en": "English", "de": "Deutsch"}, value=settings.language, label=words("language"))
    language.classes(_WIDE)
    return lambda: {"name": name.value or "", "language": language.value}


def _ask_units(visit: Visit) -> Fields:
    words, settings = visit.words, visit.settings
    units = ui.radio({"metric": words("metric"), "us": words("us")}, value=settings.units)
    glass = ui.number(words("glass"), value=settings.glass_ml, min=1, max=5000).classes(_WIDE)
    zone = ui.input(words("timezone"), value=settings.timezone).classes(_WIDE)
    return lambda: {"units": units.value, "glass_ml": glass.value, "timezone": zone.value}


async def _show_devices(visit: Visit) -> None:
    """The devices that have joined, as they do, and the command for another one."""
    words = visit.words
    joined = ui.column().classes("gap-0").props('role="status"')
    shown: list[str] = []

    async def look() -> None:
        found = [one.name for one in await run_in_threadpool(visit.hub.store.devices) if one.revoked_ms is None]
        if found != shown:
            shown[:] = found
            joined.clear()
            with joined:
                for name in found:
                    ui.label(words("has_joined", of=name)).classes("text-lg font-bold")

    await look()
    ui.timer(_LOOK_S, look)
    if not visit.may_admit:
        ui.label(words("needs_admin"))
        return
    ui.label(words("device_hint"))
    name = ui.input(words("device_name")).props("maxlength=100").classes(_WIDE)
    command = ui.column().classes("w-full")

    async def make() -> None:
        made = await invite(visit, name.value or "", 60)
        if made is not None:
            command.clear()
            with command:
                show_command(visit, made)

    ui.button(words("make_invitation"), on_click=make).props("no-caps")
    command.move()
