"""What was poured, newest first, and what belongs to no keg yet.

A pour is dragged to its keg, or a dialog asks what it was; either can be undone.
"""

from fastapi import Request
from nicegui import ui
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.dashboard.history import undo
from kegnet_client.hub.dashboard.kegs import Kegs
from kegnet_client.hub.dashboard.names import Names, read_names
from kegnet_client.hub.dashboard.pour_dialog import open_pour, pour_teller, say_what_it_was
from kegnet_client.hub.dashboard.pour_filter import PourFilter
from kegnet_client.hub.dashboard.pour_row import PourList, PourText, tell
from kegnet_client.hub.store import schema, volumes
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.pages import Query, select_page

CHANNELS = ("pours", "adjustments", "calibrations", "taps", "kegs", "beverages")
PAGE = 25
MAX_IN_TRAY = 5
MAX_LOOKED_AT = 1000


async def page(hub: Hub, request: Request) -> None:
    """Show them; who may operate may say what they were."""
    visit = await Visit.begin(hub, request)
    with frame(visit, "pours"):
        pours = _Pours(visit)
    await pours.refresh()
    visit.follow(CHANNELS, pours.refresh)


class _Pours:
    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._after: list[tuple[int, int]] = []
        self._next: tuple[int, int] | None = None
        self._dragged: PourText | None = None
        self._said: Entry | None = None
        words = visit.words
        with ui.element("div").classes("grid gap-4 lg:grid-cols-[1fr_18rem] items-start"):
            with ui.column().classes("w-full gap-3 min-w-0"):
                with (
                    ui.card().classes("w-full sticky top-14 z-10") as self._undo,
                    ui.row().classes("w-full items-center justify-between"),
                ):
                    self._done = ui.label().props('role="status"')
                    ui.button(words("undo"), on_click=self._take_back).props("no-caps")
                self._undo.set_visibility(False)
                with ui.card().classes("w-full border-l-8 border-[var(--q-primary)]") as self._tray:
                    ui.label(words("tray")).classes("text-xl")
                    self._in_tray = PourList(visit, self._drag, self._change)
                    self._more_in_tray = ui.label(words("tray_more")).classes("text-sm opacity-70")
                with ui.row().classes("items-center gap-x-4 gap-y-1"):
                    self._filter = PourFilter(visit, self._to_newest)
                with ui.row().classes("items-center gap-4"):
                    self._newest = ui.button(words("newest"), on_click=self._to_newest).props("flat dense no-caps")
                    self._older = ui.button(words("more"), on_click=self._go_on).props("flat dense no-caps")
                self._empty = ui.label(words("no_pours")).classes("text-xl")
                self._list = PourList(visit, self._drag, self._change)
            self._kegs = Kegs(visit, self._drop)

    async def refresh(self) -> None:
        """Show what holds now."""
        visit = self._visit
        names = await visit.hub.read(read_names)
        self._filter.show(names)
        statement, query = self._filter.ask(PAGE, self._after[-1] if self._after else None)
        found = await run_in_threadpool(visit.hub.store.page, statement, "started_ms", query)
        self._next = found.next
        self._older.set_visibility(found.next is not None)
        self._newest.set_visibility(bool(self._after))
        self._empty.set_visibility(not found.rows)
        self._list.show([tell(visit, dict(row._mapping), names) for row in found.rows])
        in_tray = await visit.hub.read(lambda connection: _read_tray(visit, connection, names))
        self._tray.set_visibility(bool(in_tray) and not self._filter.is_for_unassigned)
        self._more_in_tray.set_visibility(len(in_tray) > MAX_IN_TRAY)
        self._in_tray.show(in_tray[:MAX_IN_TRAY])
        await self._kegs.refresh(names)

    async def _go_on(self) -> None:
        if self._next is not None:
            self._after.append(self._next)
            await self.refresh()

    async def _to_newest(self) -> None:
        self._after.clear()
        await self.refresh()

    def _drag(self, pour: PourText) -> None:
        self._dragged = pour

    async def _drop(self, what: str, keg: int | None) -> None:
        pour, self._dragged = self._dragged, None
        if pour is not None:  # else it is something from elsewhere
            entry = await say_what_it_was(self._visit, pour.id, {"what": what, "keg": keg} if keg else {"what": what})
            if entry is not None:
                await self._done_with(pour, entry)

    async def _change(self, pour: PourText) -> None:
        async def on_said(entry: Entry) -> None:
            await self._done_with(pour, entry)

        await open_pour(self._visit, pour, on_said)

    async def _done_with(self, pour: PourText, entry: Entry) -> None:
        names = await self._visit.hub.read(read_names)
        self._said = entry
        self._done.text = f"{pour.volume}, {pour.when}: {pour_teller(self._visit, names)(entry)}"
        self._undo.set_visibility(True)
        await self.refresh()

    async def _take_back(self) -> None:
        if self._said is not None and await undo(self._visit, self._said):
            self._said = None
            self._undo.set_visibility(False)
            await self.refresh()


def _read_tray(visit: Visit, connection: Connection, names: Names) -> list[PourText]:
    """Of the newest pours those that belong to no keg, and one more than are shown, if there are."""
    table = schema.pours.c
    # Where nearly all belong to one, those that do not are not looked for through years.
    newest = select(table.id).order_by(table.id.desc()).limit(MAX_LOOKED_AT)
    unassigned = volumes.SELECT_POURS.where(table.id.in_(newest), volumes.IS_UNASSIGNED)
    rows = connection.execute(select_page(unassigned, "started_ms", Query(MAX_IN_TRAY)))
    return [tell(visit, dict(row._mapping), names) for row in rows]
