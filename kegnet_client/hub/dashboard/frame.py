"""What stands around every page: the hub's name, the way to the other pages, and how to leave."""

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from kegnet_client.hub.dashboard.context import Visit

PLACES = ("taps", "temperatures", "pours", "devices", "settings")


@contextmanager
def frame(visit: Visit, place: str) -> Iterator[None]:
    """The page called ``place``, whose own content goes inside."""
    words = visit.words
    ui.colors(primary=visit.settings.accent)
    ui.page_title(f"{words(place)} - {visit.settings.name}")
    with ui.header().classes("items-center gap-2 px-3 py-1 flex-wrap"):
        ui.label(visit.settings.name).classes("text-lg font-bold mr-2 truncate max-w-xs")
        with ui.element("nav").classes("flex flex-wrap gap-1").props(f'aria-label="{words("taps")}"'):
            for one in PLACES:
                link = ui.link(words(one), f"/ui/{one}").classes("px-2 py-1 rounded no-underline text-white")
                if one == place:
                    link.classes("bg-black/30").props('aria-current="page"')
    with ui.element("main").classes("w-full max-w-screen-2xl mx-auto p-2 md:p-4"):
        yield
        if not visit.may_operate:
            ui.label(words("guest")).classes("text-sm opacity-70 mt-4")
