"""Tapping a keg, changing what was said of it, ending it, and its history, from the card of its tap."""

from dataclasses import dataclass
from functools import partial

from nicegui import ui
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.dialogs import open_dialog
from kegnet_client.hub.dashboard.history import open_history
from kegnet_client.hub.dashboard.kegs import keg_teller
from kegnet_client.hub.dashboard.names import read_names
from kegnet_client.hub.store import bodies, entries, tapping


@dataclass(frozen=True, slots=True)
class _Keg:
    """What a keg is: ``start_ml`` was in it at first, unless it was full. A new one has no number yet."""

    beverage: str
    size_ml: float
    start_ml: float | None
    number: int | None = None


def add_keg_buttons(visit: Visit, tap: int) -> ui.button:
    """Add what an operator may do with the keg at ``tap``; the button that ends the one there is."""
    words, is_us = visit.words, visit.settings.units == "us"
    ml = figures.ML_PER_GALLON if is_us else 1000

    async def ask(keg: _Keg | None) -> None:
        """Ask what a new keg is, or what ``keg`` is, which was said wrongly."""
        with open_dialog(words("new_keg" if keg is None else "change_keg")) as dialog:
            name = ui.input(words("beverage"), value="" if keg is None else keg.beverage)
            name.props("autofocus maxlength=100").classes("w-full")
            usual = 5 if is_us else 20
            label = words("size_gallons" if is_us else "size")
            size = ui.number(label, value=usual if keg is None else round(keg.size_ml / ml, 3), min=0.1, max=1000)
            label = words(("in_it" if keg is None else "in_it_first") + ("_gallons" if is_us else ""))
            was_in_it = None if keg is None or keg.start_ml is None else round(keg.start_ml / ml, 3)
            start = ui.number(label, value=was_in_it, min=0, max=1000)
            for field in (size, start):
                field.classes("w-full")

            async def save() -> None:
                if not name.value or not size.value:
                    return
                start_ml = None if start.value is None else float(start.value) * ml
                number = None if keg is None else keg.number
                said = _Keg(name.value.strip(), float(size.value) * ml, start_ml, number)
                if await (_tap(visit, tap, said) if number is None else _change(visit, number, said)):
                    dialog.close()

            with ui.row():
                ui.button(words("save"), on_click=save).props("no-caps")
                ui.button(words("cancel"), on_click=dialog.close).props("flat no-caps")

    async def change() -> None:
        now_ms = visit.hub.clock_ms()
        keg = await visit.hub.read(lambda connection: _read(connection, tap, now_ms))
        if keg is not None:
            await ask(keg)

    async def end() -> None:
        now_ms = visit.hub.clock_ms()
        await visit.do(lambda connection: tapping.end_keg(connection, tap, visit.who.name, now_ms))

    async def look_back() -> None:
        last = await visit.hub.read(lambda connection: tapping.read_last(connection, tap))
        if last is None:
            ui.notify(words("nothing_said"))
        else:
            names = await visit.hub.read(read_names)
            name = names.get(("keg", last.subject), "")
            await open_history(visit, name, "keg", last.subject, partial(keg_teller, visit))

    with ui.row().classes("gap-1"):
        ui.button(words("new_keg"), on_click=lambda: ask(None)).props("flat dense no-caps")
        calibrate = ui.button(words("calibrate"), on_click=lambda: ui.navigate.to(f"/calibrate?tap={tap}"))
        calibrate.props("flat dense no-caps")
        ui.button(words("history"), on_click=look_back).props("flat dense no-caps")
        changing = ui.button(words("change_keg"), on_click=change).props("flat dense no-caps")
        ending = ui.button(words("end_keg"), on_click=end).props("flat dense no-caps")
        changing.bind_visibility_from(ending)
        return ending


def _read(connection: Connection, tap: int, now_ms: int) -> _Keg | None:
    """The keg that runs from ``tap``."""
    keg = tapping.read_running(connection, now_ms).get(tap)
    if keg is None:
        return None
    beverage = entries.read_one(connection, "beverage", keg.body["beverage"] or 0)
    name = "" if beverage is None else str(beverage.body["name"])
    return _Keg(name, keg.body["size_ml"], keg.body["start_ml"], keg.subject)


async def _tap(visit: Visit, tap: int, keg: _Keg) -> bool:
    beverage, now_ms = bodies.Beverage(name=keg.beverage), visit.hub.clock_ms()
    return await visit.do(
        lambda connection: tapping.tap_keg(
            connection, tap, beverage, keg.size_ml, visit.who.name, now_ms, start_ml=keg.start_ml
        )
    )


async def _change(visit: Visit, number: int, keg: _Keg) -> bool:
    now_ms = visit.hub.clock_ms()
    return await visit.do(
        lambda connection: tapping.change_keg(
            connection, number, keg.beverage, keg.size_ml, keg.start_ml, visit.who.name, now_ms
        )
    )
