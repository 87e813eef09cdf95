"""A list of pours: each a row that is dragged to a keg, and a button that does the same by keyboard and on a phone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from nicegui import ui

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.names import Names

_ROW = (
    "w-full grid items-center gap-x-3 py-1 border-b border-gray-500/30 "
    "grid-cols-[5rem_1fr_auto] md:grid-cols-[5rem_11rem_1fr_1fr_auto]"
)


@dataclass(frozen=True, slots=True)
class PourText:
    """A pour as it is shown."""

    id: int
    volume: str
    when: str
    place: str
    remark: str


Chosen = Callable[[PourText], Awaitable[None]]


def tell(visit: Visit, pour: dict[str, Any], names: Names) -> PourText:
    """A row of `volumes.SELECT_POURS` as it is shown."""
    settings, words = visit.settings, visit.words
    volume_nl, what = pour["volume_nl"], pour["adjustment"]
    device = names.get(("device", pour["device"]), "")
    tap = names.get(("tap", pour["tap"]), f"{device}, {words('pin')} {pour['pin']}")
    keg = names.get(("keg", pour["keg"]), words("no_keg"))
    length = figures.decimal(f"{pour['elapsed_ms'] / 1000:.1f} s", settings.language)
    remark = " ".join(filter(None, (words(f"is_{what}") if what else "", pour["reason"])))
    return PourText(
        pour["id"],
        words("count_pulses", count=pour["pulses"])
        if volume_nl is None
        else figures.small_volume(volume_nl / 1e6, settings),
        figures.moment(pour["started_ms"], settings.timezone),
        f"{tap} · {keg} · {length}",
        remark,
    )


class PourList:
    """Pours, as many as there are; ``on_drag`` and ``on_change`` are told which one."""

    def __init__(self, visit: Visit, on_drag: Callable[[PourText], None], on_change: Chosen) -> None:
        self._visit, self._on_drag, self._on_change = visit, on_drag, on_change
        self._rows: dict[PourText, ui.element] = {}
        self._list = ui.element("div").classes("w-full").props('role="list"')

    def show(self, pours: list[PourText]) -> None:
        """Let these stand there; a row that stays the same is left alone, and with it the keyboard's focus."""
        for gone in self._rows.keys() - set(pours):
            self._rows.pop(gone).delete()
        with self._list:
            for place, one in enumerate(pours):
                if one not in self._rows:
                    self._rows[one] = self._row(one)
                    self._rows[one].move(target_index=place)

    def _row(self, one: PourText) -> ui.element:
        with ui.element("div").classes(_ROW).props('role="listitem"') as row:
            ui.label(one.volume).classes("font-bold md:text-right")
            ui.label(one.when)
            with ui.row().classes("md:order-last") if self._visit.may_operate else ui.element("div"):
                if self._visit.may_operate:
                    button = ui.button(icon="edit", on_click=partial(self._on_change, one)).props("flat dense round")
                    button.props["aria-label"] = self._visit.words("change_pour", pour=f"{one.volume}, {one.when}")
            ui.label(one.place).classes("col-span-3 md:col-span-1 break-words min-w-0")
            ui.label(one.remark).classes("col-span-3 md:col-span-1 break-words min-w-0 opacity-80")
        if self._visit.may_operate:
            row.props('draggable="true"').classes("cursor-grab")
            row.on("dragstart", partial(self._on_drag, one), args=[])
        return row
