"""The kegs beside the pours: where a pour may be dropped, and what was said of each keg."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from nicegui import ui
from sqlalchemy import Connection

from kegnet_client.hub.api import kegs
from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.history import Tell, open_history
from kegnet_client.hub.dashboard.names import Names, read_names
from kegnet_client.hub.dashboard.old import set_old, tell_silence
from kegnet_client.hub.store import bodies, entries, tapping
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.hearing import TapMeter, find_silent, read_meters

MAX_SHOWN = 12
_TARGET = "w-full p-3 rounded border-2 border-dashed border-gray-400"

Drop = Callable[[str, int | None], Awaitable[None]]
"""What a pour that was dropped is: as `bodies.Adjustment` has it, with the keg."""


class Kegs:
    """The newest kegs, each with what is left in it, and what a pour may be instead of beer in a glass."""

    def __init__(self, visit: Visit, drop: Drop) -> None:
        self._visit, self._drop = visit, drop
        self._shown: list[tuple[int, str]] | None = None
        self._left: dict[int, tuple[ui.label, ui.label]] = {}
        with ui.column().classes("w-full gap-2 lg:sticky lg:top-16"):
            if visit.may_operate:
                ui.label(visit.words("drag_hint")).classes("text-sm opacity-70 max-md:hidden")
            self._list = ui.column().classes("w-full gap-2")
            if visit.may_operate:
                for what in ("void", "spill"):
                    with self._target(what, None).classes("max-md:hidden"):
                        ui.label(visit.words(what)).classes("font-bold")

    async def refresh(self, names: Names) -> None:
        """Show what is left now."""
        now_ms = self._visit.hub.clock_ms()
        found, silent = await self._visit.hub.read(lambda connection: self._read(connection, now_ms))
        shown = [(keg["id"], names.get(("keg", keg["id"]), "")) for keg in found]
        if shown != self._shown:  # else they stay where they are, for who drags a pour there
            self._shown = shown
            self._list.clear()
            self._left.clear()
            with self._list:
                for number, name in shown:
                    self._left[number] = self._show(number, name)
        for keg in found:
            left, is_old = self._left[keg["id"]]
            left.text = self._tell(keg)
            meter = silent[keg["id"]]
            set_old(left, meter is not None)
            is_old.text = "" if meter is None else tell_silence(self._visit.words, meter, now_ms)
            is_old.set_visibility(meter is not None)

    def _tell(self, keg: dict[str, Any]) -> str:
        """What is left in it, and of when that is."""
        visit, words = self._visit, self._visit.words
        left = words("left", volume=figures.volume(keg["left_ml"], visit.settings))
        if keg["last_pour_ms"] is None:
            return f"{left} · {words('never_poured')}"
        return f"{left} · {words('last_pour', ago=words.ago(visit.hub.clock_ms() - keg['last_pour_ms']))}"

    @staticmethod
    def _read(connection: Connection, now_ms: int) -> tuple[list[dict[str, Any]], dict[int, TapMeter | None]]:
        """The kegs, and of each one the meter that counts there, if that is silent."""
        newest = entries.read_open(connection, "keg")[: -MAX_SHOWN - 1 : -1]
        meters, running = read_meters(connection, now_ms), tapping.read_running(connection, now_ms)
        silent = {
            keg.subject: find_silent(meters, [tap for tap, one in running.items() if one.id == keg.id], now_ms)
            for keg in newest
        }
        return kegs.show(connection, newest, now_ms), silent

    def _show(self, number: int, name: str) -> tuple[ui.label, ui.label]:
        """Add a keg; the labels of what is left, and of since when that is not known."""
        visit = self._visit
        title = visit.words("history_of", of=name)
        with self._target("keg", number), ui.row().classes("w-full items-center justify-between no-wrap"):
            with ui.column().classes("gap-0 min-w-0"):
                ui.label(name).classes("font-bold break-words")
                left = ui.label().classes("text-sm")
                is_old = ui.label().classes("text-sm")
            history = partial(open_history, visit, name, "keg", number, partial(keg_teller, visit))
            button = ui.button(icon="history", on_click=history).props("flat dense round")
            button.props["aria-label"] = title
        return left, is_old

    def _target(self, what: str, keg: int | None) -> ui.element:
        target = ui.element("div").classes(_TARGET)
        if self._visit.may_operate:
            # A browser lets drop only where dragging over is taken; that it is, once a second is often enough.
            target.on("dragover.prevent", lambda: None, args=[], throttle=1.0, trailing_events=False)
            target.on("drop.prevent", partial(self._drop, what, keg), args=[])
        return target


def keg_teller(visit: Visit, connection: Connection) -> Tell:
    """Tells what an entry says of a keg: its size, and where it ran when."""
    names = read_names(connection)
    beverages = {one.subject: str(one.body["name"]) for one in entries.read_all(connection, "beverage")}
    words, zone = visit.words, visit.settings.timezone

    def moment(at_ms: int | None) -> str:
        return "..." if at_ms is None else words("from_always") if at_ms == 0 else figures.moment(at_ms, zone)

    def tell(entry: Entry) -> str:
        body = bodies.Keg.model_validate(entry.body)
        size = figures.volume(body.size_ml, visit.settings)
        parts = [f"{beverages.get(body.beverage or 0, words('a_keg'))}, {size}"]
        for place in body.taps:
            name = names.get(("tap", place.tap), str(place.tap))
            parts.append(f"{name}: {moment(place.from_ms)} - {moment(place.until_ms)}")
        if body.ended_ms is not None:
            parts.append(words("taken_back"))
        return "; ".join(parts)

    return tell
