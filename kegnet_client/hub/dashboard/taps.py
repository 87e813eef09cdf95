"""The taps: a card a tap with its keg, what is left in it, when it ran last, how cold it is, and what is wrong."""

from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from nicegui import ui

from kegnet_client.hub.dashboard import figures, tap_state
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.dashboard.keg_dialog import add_keg_buttons
from kegnet_client.hub.dashboard.old import set_old, tell_silence
from kegnet_client.hub.dashboard.tap_state import TapState
from kegnet_client.hub.domain.levels import STALE_MS, is_stale
from kegnet_client.hub.store import alarms, first_run

CHANNELS = (
    *("pours", "temperatures", "taps", "kegs", "beverages", "calibrations", "adjustments", "settings"),
    alarms.CHANNEL,
)


async def page(hub: Hub, request: Request) -> Response | None:
    """Show them; a hub where there is nothing yet leads through its first run."""
    visit = await Visit.begin(hub, request)
    is_set_up = not visit.may_operate or await hub.read(first_run.read_step) is None
    if not is_set_up and await hub.read(first_run.is_fresh):
        return RedirectResponse(f"{request.scope.get('root_path', '')}/setup", 303)
    with frame(visit, "taps"):
        if not is_set_up:
            on = ui.button(visit.words("go_on_setup"), on_click=lambda: ui.navigate.to("/setup"))
            on.props("no-caps").classes("mb-4")
        cards = ui.element("div").classes("grid gap-4 grid-cols-[repeat(auto-fit,minmax(18rem,1fr))]")
    shown: dict[int, _Card] = {}
    empty: list[ui.label] = []

    async def refresh() -> None:
        now_ms = hub.clock_ms()
        found = {state.tap["id"]: state for state in await hub.read_together(tap_state.read)}
        with cards:
            for number in [one for one in shown if one not in found]:
                shown.pop(number).delete()
            for number, state in found.items():
                if number not in shown:
                    shown[number] = _Card(visit, number)
                shown[number].show(state, now_ms)
            if not found and not empty:
                empty.append(ui.label(visit.words("no_taps")).classes("text-xl"))
            elif found and empty:
                empty.pop().delete()

    await refresh()
    visit.follow(CHANNELS, refresh)
    return None


class _Card:
    """One tap; `show` changes what is new and nothing else, so that the level falls smoothly."""

    def __init__(self, visit: Visit, number: int) -> None:
        self._visit = visit
        self._card = ui.card().classes("w-full")
        with self._card:
            with ui.row().classes("w-full items-stretch no-wrap gap-4"):
                with (
                    ui.element("div")
                    .classes("relative w-20 min-h-[9rem] rounded-xl border-4 border-gray-500 overflow-hidden shrink-0")
                    .props('role="progressbar" aria-valuemin="0" aria-valuemax="100"') as self._keg
                ):
                    self._level = ui.element("div").classes("absolute bottom-0 left-0 right-0 bg-primary")
                    self._level.style("height: 0%; transition: height 1s")
                with ui.column().classes("gap-1 min-w-0"):
                    self._name = ui.label().classes("text-sm uppercase tracking-wide opacity-70")
                    self._beverage = ui.label().classes("text-2xl font-bold break-words")
                    self._left = ui.label().classes("text-3xl font-bold")
                    self._glasses = ui.label().classes("text-lg")
                    self._last = ui.label().classes("opacity-80")
                    self._is_old = ui.label()
            with ui.row().classes("items-baseline gap-3"):
                self._temperature = ui.label().classes("text-2xl")
                self._age = ui.label().classes("text-sm opacity-70")
            self._alarms = ui.label().classes("w-full px-2 py-1 rounded text-white bg-red-800 whitespace-pre-line")
            self._end = add_keg_buttons(visit, number) if visit.may_operate else None

    def delete(self) -> None:
        self._card.delete()

    def show(self, state: TapState, now_ms: int) -> None:
        words, tap = self._visit.words, state.tap
        self._name.text = tap["name"]
        self._alarms.text = "\n".join(state.alarms)
        self._alarms.set_visibility(bool(state.alarms))
        if self._end is not None:
            self._end.set_visibility(tap["keg"] is not None)
        self._show_level(tap)
        last_ms = None if tap["keg"] is None else tap["keg"]["last_pour_ms"]
        if tap["keg"] is not None:
            ago = words("never_poured") if last_ms is None else words("last_pour", ago=words.ago(now_ms - last_ms))
            self._last.text = ago
        silent = None if tap["keg"] is None else state.silent
        self._is_old.set_visibility(silent is not None)
        self._is_old.text = "" if silent is None else tell_silence(words, silent, now_ms)
        for one in (self._left, self._glasses, self._level):
            set_old(one, silent is not None)
        self._show_temperature(tap, now_ms)

    def _show_level(self, tap: dict[str, Any]) -> None:
        words, style, keg = self._visit.words, self._visit.settings, tap["keg"]
        percent = 0.0 if keg is None else keg["left_percent"]
        self._level.style(f"height: {percent:.1f}%")
        self._keg.props(f'aria-valuenow="{percent:.0f}"')
        if keg is None:
            self._beverage.text = words("no_keg")
            self._keg.props(f'aria-label="{words("no_keg")}"')
            self._left.text = self._glasses.text = self._last.text = ""
            return
        self._beverage.text = words("a_keg") if tap["beverage"] is None else tap["beverage"]["name"]
        left = words("left", volume=figures.volume(keg["left_ml"], style))
        self._keg.props(f'aria-label="{left}"')
        self._left.text = left
        of = words("of", volume=figures.volume(keg["size_ml"], style))
        glasses = words("one_glass") if keg["glasses"] == 1 else words("glasses", count=keg["glasses"])
        self._glasses.text = f"{of} · {percent:.0f} % · {glasses}"

    def _show_temperature(self, tap: dict[str, Any], now_ms: int) -> None:
        words, reading = self._visit.words, tap["temperature"]
        if reading is None:
            self._temperature.text, self._age.text = "", words("no_temperature") if tap["sensor"] else ""
            return
        age = words.ago(now_ms - reading["taken_ms"])
        is_old = is_stale(reading["taken_ms"], now_ms, STALE_MS)
        self._temperature.text = figures.temperature(reading["millidegrees"], self._visit.settings)
        set_old(self._temperature, is_old)
        self._age.text = words("stale", ago=age) if is_old else age
