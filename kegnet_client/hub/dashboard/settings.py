"""How things are shown, the taps with their meters and thermometers, and for admins the tokens."""

from fastapi import Request
from nicegui import ui
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.dashboard.logo import LogoField
from kegnet_client.hub.dashboard.tokens import Tokens
from kegnet_client.hub.store import bodies, house

_WIDE = "w-full max-w-md"


async def page(hub: Hub, request: Request) -> None:
    """Show them; who may operate may change them."""
    visit = await Visit.begin(hub, request)
    words, settings = visit.words, visit.settings
    devices = [one for one in await run_in_threadpool(hub.store.devices) if one.revoked_ms is None]
    with frame(visit, "settings"), ui.element("div").classes("grid gap-6 md:grid-cols-2 items-start"):
        with ui.card().classes("w-full"):
            name = ui.input(words("name"), value=settings.name).props("maxlength=100").classes(_WIDE)
            units = ui.select(
                {"metric": words("metric"), "us": words("us")}, value=settings.units, label=words("units")
            ).classes(_WIDE)
            language = ui.select(
                {"en": "English", "de": "Deutsch"}, value=settings.language, label=words("language")
            ).classes(_WIDE)
            zone = ui.input(words("timezone"), value=settings.timezone).classes(_WIDE)
            glass = ui.number(words("glass"), value=settings.glass_ml, min=1, max=5000).classes(_WIDE)
            accent = ui.color_input(words("accent"), value=settings.accent).props("maxlength=7").classes(_WIDE)
            logo = LogoField(visit) if visit.may_operate else None

            async def save() -> None:
                try:
                    body = bodies.Settings.model_validate(
                        {
                            **settings.model_dump(),
                            "name": name.value,
                            "units": units.value,
                            "language": language.value,
                            "timezone": zone.value,
                            "glass_ml": glass.value,
                            "accent": (accent.value or "").lower(),
                            "logo": settings.logo if logo is None else logo.url,
                        }
                    )
                except ValidationError as error:
                    first = error.errors()[0]
                    ui.notify(words("wrong", text=f"{first['loc'][0]}: {first['msg']}"), type="negative")
                    return
                if await visit.say("settings", house.SETTINGS, body):
                    ui.navigate.reload()

            if visit.may_operate:
                ui.button(words("save"), on_click=save).props("no-caps")
        if visit.may_operate:
            with ui.card().classes("w-full"):
                ui.label(words("new_tap")).classes("text-xl")
                tap = ui.input(words("name")).props("maxlength=100").classes(_WIDE)
                device = ui.select({one.uuid: one.name for one in devices}, label=words("device")).classes(_WIDE)
                pin = ui.number(words("pin"), value=0, min=0, max=255, precision=0).classes(_WIDE)
                sensor = ui.input(words("sensor")).props('maxlength=15 placeholder="28-0000057fa1b2"').classes(_WIDE)

                async def add() -> None:
                    try:
                        places = [] if device.value is None else [{"device": device.value, "pin": int(pin.value or 0)}]
                        body = bodies.Tap.model_validate(
                            {"name": tap.value, "meters": places, "sensor": (sensor.value or "").strip() or None}
                        )
                    except ValidationError as error:
                        first = error.errors()[0]
                        ui.notify(words("wrong", text=f"{first['loc'][0]}: {first['msg']}"), type="negative")
                        return
                    if await visit.say("tap", None, body):
                        tap.value = sensor.value = ""

                ui.button(words("save"), on_click=add).props("no-caps")
        if visit.may_admit:
            tokens = Tokens(visit)
            await tokens.refresh()
