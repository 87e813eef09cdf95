"""What stands around every page: the hub's name, the way to the other pages, and what is wrong."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from nicegui import ui
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.logo import show_logo
from kegnet_client.hub.domain.alarms import Alarm
from kegnet_client.hub.domain.roles import GUEST
from kegnet_client.hub.store import alarms

PLACES = ("taps", "temperatures", "pours", "profiles", "alarms", "devices", "settings", "debugger")

_LANGUAGES: dict[str, Literal["en-US", "de"]] = {"en": "en-US", "de": "de"}
"""What NiceGUI calls them."""
_DARK = {"auto": None, "light": False, "dark": True}
# A button without a ground has the text's own colour: the accent is made for white on it, not for the page behind it.
# Among rules that are important the layer that was named first wins, and Quasar's have one of the later.
_READABLE = """@layer base { .q-btn--flat, .q-btn--outline { color: inherit !important } }
.q-btn { text-transform: none }"""

# A screen this wide is a TV that is read from three metres. What Quasar gives in pixels does not grow by itself.
_FROM_AFAR = """@media (min-width: 1800px) {
    html { font-size: 150% }
    body, .q-btn, .q-field, .q-field__label, .q-table th, .q-table tbody td, .q-table__bottom { font-size: 1rem }
    .q-field:not(.q-textarea) .q-field__control, .q-field__marginal { height: 3.5rem }
    .q-field__label { line-height: 1.25rem; top: 1.125rem }
    .q-field--labeled .q-field__native { line-height: 1.5rem; padding-top: 1.5rem; padding-bottom: .5rem }
    .q-field--auto-height .q-field__native { padding-top: 0 }
    .q-field--auto-height.q-field--labeled .q-field__control-container { padding-top: 1.5rem }
}"""
# While nothing new can come, nothing looks as if it were of now; the sign of the loss is NiceGUI's own.
_LOST = 'body:has(#popup[aria-hidden="false"]) :is(.q-header, .q-page) { filter: grayscale(1); opacity: .5 }'
_NOT_FRESH = "not-fresh"
# Likewise while the hub cannot read what is new, but for the line that says so.
_OLD = (
    f"body:has(.{_NOT_FRESH}:not(.hidden)) :is(.q-header, .nicegui-content > :not(.{_NOT_FRESH}))"
    " { filter: grayscale(1); opacity: .5 }"
)
# What the browser draws itself, such as the sign in a field for a date.
_DARK_TOO = ".body--dark { color-scheme: dark }"


def read_standing(connection: Connection, _now_ms: int) -> Mapping[tuple[str, str], tuple[int, Alarm]]:
    """The alarms that stand, for every page."""
    return alarms.read_standing(connection)


@contextmanager
def frame(visit: Visit, place: str) -> Iterator[None]:
    """The page called ``place``, whose own content goes inside."""
    words = visit.words
    ui.colors(primary=visit.settings.accent)
    ui.dark_mode(_DARK[visit.settings.theme])
    ui.context.client.page.language = _LANGUAGES[words.language]
    ui.add_css(_READABLE + _FROM_AFAR + _LOST + _OLD + _DARK_TOO)
    ui.page_title(f"{words(place)} - {visit.settings.name}")
    with ui.header().classes("items-center gap-2 px-3 py-1 flex-wrap"):
        if visit.settings.logo:
            show_logo(visit.settings.logo)
        ui.label(visit.settings.name).classes("text-lg font-bold mr-2 truncate max-w-xs")
        with ui.element("nav").classes("flex flex-wrap gap-1").props(f'aria-label="{words("pages")}"'):
            for one in PLACES:
                link = ui.link(words(one), f"/{one}").classes("px-2 py-1 rounded no-underline text-white")
                if one == place:
                    link.classes("bg-black/30").props('aria-current="page"')
    not_fresh = ui.label().classes(f"{_NOT_FRESH} w-full p-2 text-center text-white bg-red-800").props('role="status"')
    not_fresh.set_visibility(False)

    def show_fresh(is_fresh: bool) -> None:
        not_fresh.set_visibility(not is_fresh)
        if not is_fresh:
            not_fresh.text = words("not_fresh", when=figures.moment(visit.fresh_ms, visit.settings.timezone))

    visit.on_fresh = show_fresh
    banner = ui.link("", "/alarms").classes("w-full p-2 text-center text-white bg-red-800 no-underline")
    banner.props('role="status"').set_visibility(False)

    async def show_alarms() -> None:
        standing = await visit.hub.read_together(read_standing)
        banner.set_visibility(bool(standing))
        if standing:
            newest = list(standing.values())[-1][1].text
            count = words("standing", count=len(standing))
            banner.text = f"{words('alarms')}: {newest}" + (f" ({count})" if len(standing) > 1 else "")

    visit.follow((alarms.CHANNEL,), show_alarms)
    with ui.element("div").classes("w-full max-w-screen-2xl mx-auto p-2 md:p-4"):
        yield
        _show_who_looks(visit)


def _show_who_looks(visit: Visit) -> None:
    """Below the page: as whom the browser is logged in, and the way out, or in."""
    words = visit.words
    with ui.row().classes("w-full items-center gap-x-4 gap-y-0 mt-6 text-sm"):
        if not visit.may_operate:
            ui.label(words("guest")).classes("opacity-70")
        if visit.who is GUEST:
            ui.link(words("log_in"), "../login").classes("font-bold text-inherit")
            return
        ui.label(words("logged_in", who=visit.who.name)).classes("opacity-70 break-words min-w-0")
        # A form of the browser's own: the cookie is not the page's to take away.
        with ui.element("form").props("method=post action=../logout"):
            ui.button(words("log_out")).props("type=submit flat dense no-caps")
