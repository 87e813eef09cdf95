"""What was said of one thing, by whom and when, and undoing the last of it by another entry."""

from collections.abc import Callable

from nicegui import ui
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.dialogs import open_dialog
from kegnet_client.hub.store import entries, undoing
from kegnet_client.hub.store.entries import Entry

Tell = Callable[[Entry], str]
"""What an entry says, in a line."""


async def undo(visit: Visit, entry: Entry) -> bool:
    """Let hold again what held before ``entry``, if nothing else was said since."""
    now_ms = visit.hub.clock_ms()
    return await visit.do(lambda connection: undoing.undo(connection, entry, visit.who.name, now_ms))


def show_history(visit: Visit, found: list[Entry], tell: Tell, on_undone: Callable[[], object]) -> None:
    """Add the entries of one subject, the newest first; who may operate may undo that."""
    words, zone = visit.words, visit.settings.timezone

    async def undo_last() -> None:
        if await undo(visit, found[-1]):
            on_undone()

    if not found:
        ui.label(words("nothing_said")).classes("opacity-70")
    with ui.element("ol").classes("w-full list-none p-0 m-0"):
        for entry in reversed(found):
            with ui.element("li").classes("py-1"):
                ui.label(tell(entry)).classes("font-bold" if entry is found[-1] else "")
                when = figures.moment(entry.recorded_ms, zone)
                ui.label(words("said_by", who=entry.said_by, when=when)).classes("text-sm opacity-70")
    if found and visit.may_operate:
        ui.button(words("undo_last"), on_click=undo_last).props("flat dense no-caps")


async def open_history(
    visit: Visit, title: str, kind: str, subject: int, make_tell: Callable[[Connection], Tell]
) -> None:
    """Show it in a dialog; ``make_tell`` reads what telling it needs."""
    found, tell = await visit.hub.read(
        lambda connection: (entries.read_history(connection, kind, subject), make_tell(connection))
    )
    with open_dialog(f"{visit.words('history')}: {title}") as dialog:
        show_history(visit, found, tell, dialog.close)
        ui.button(visit.words("close"), on_click=dialog.close).props("flat no-caps")
