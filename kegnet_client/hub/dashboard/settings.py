"""How things are shown, the taps, limits and controllers, and for admins the tokens."""

from fastapi import Request
from nicegui import ui
from pydantic import ValidationError

from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.controller_list import ControllerList
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.dashboard.limits import Limits
from kegnet_client.hub.dashboard.logo import LogoField
from kegnet_client.hub.dashboard.tap_list import TapList
from kegnet_client.hub.dashboard.tokens import Tokens
from kegnet_client.hub.store import bodies, house

_WIDE = "w-full max-w-md"


async def page(hub: Hub, request: Request) -> None:
    """Show them; who may operate may change them."""
    visit = await Visit.begin(hub, request)
    words, settings = visit.words, visit.settings
    with frame(visit, "settings"), ui.element("div").classes("grid gap-4 md:grid-cols-2 items-start"):
        # Two columns, each with cards of its own: side by side, a long one would leave a hole beside it.
        left, right = (ui.column().classes("w-full min-w-0 gap-4") for _ in range(2))
        with left, ui.card().classes("w-full"):
            name = ui.input(words("name"), value=settings.name).props("maxlength=100").classes(_WIDE)
            units = ui.select(
                {"metric": words("metric"), "us": words("us")}, value=settings.units, label=words("units")
            ).classes(_WIDE)
            language = ui.select(
                {"en": "English", "de": "Deutsch"}, value=settings.language, label=words("language")
            ).classes(_WIDE)
            theme = ui.select(
                {one: words(f"theme_{one}") for one in ("auto", "light", "dark")},
                value=settings.theme,
                label=words("theme"),
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
                            "theme": theme.value,
                            "timezone": zone.value,
                            "glass_ml": glass.value,
                            "accent": (accent.value or "").lower(),
                            "logo": settings.logo if logo is None else logo.url,
                        }
                    )
                except ValidationError as error:
                    visit.tell_wrong(error)
                    return
                if await visit.say("settings", house.SETTINGS, body):
                    ui.navigate.reload()

            if visit.may_operate:
                ui.button(words("save"), on_click=save).props("no-caps")
        parts: list[TapList | ControllerList | Limits | Tokens] = []
        if visit.may_operate:
            with left:
                parts += [TapList(visit), ControllerList(visit)]
                _tell_who_is_notified(visit)
            with right:
                parts.append(Limits(visit))
        if visit.may_admit:
            with right:
                parts.append(Tokens(visit))
        for part in parts:
            await part.refresh()


def _tell_who_is_notified(visit: Visit) -> None:
    """The card of the addresses that are told of alarms; they hold passwords, so only how many there are is shown."""
    words, count = visit.words, visit.hub.notified
    with ui.card().classes("w-full"):
        ui.label(words("notifications")).classes("text-xl")
        ui.label(words("notified", count=count) if count else words("notified_nobody"))
        ui.button(words("try_notified"), on_click=lambda: ui.navigate.to("/debugger")).props("flat dense no-caps")
