"""Tapping a new keg, ending one, and what was said of it, from the card of its tap."""

from functools import partial

from nicegui import ui
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.dialogs import open_dialog
from kegnet_client.hub.dashboard.history import open_history
from kegnet_client.hub.dashboard.kegs import keg_teller
from kegnet_client.hub.dashboard.names import read_names
from kegnet_client.hub.store import bodies, tapping


def add_keg_buttons(visit: Visit, tap: int) -> ui.button:
    """Add what an operator may do with the keg at ``tap``; the button that ends the one there is."""
    words, is_us = visit.words, visit.settings.units == "us"
    ml = figures.ML_PER_GALLON if is_us else 1000

    async def ask() -> None:
        with open_dialog(words("new_keg")) as dialog:
            name = ui.input(words("beverage")).props("autofocus maxlength=100").classes("w-full")
            label = words("size_gallons" if is_us else "size")
            size = ui.number(label, value=5 if is_us else 20, min=0.1, max=1000).classes("w-full")
            start = ui.number(words("in_it_gallons" if is_us else "in_it"), min=0, max=1000).classes("w-full")

            async def save() -> None:
                if not name.value or not size.value:
                    return
                start_ml = None if start.value is None else float(start.value) * ml
                if await _change(visit, tap, (name.value.strip(), float(size.value) * ml, start_ml)):
                    dialog.close()

            with ui.row():
                ui.button(words("save"), on_click=save).props("no-caps")
                ui.button(words("cancel"), on_click=dialog.close).props("flat no-caps")

    async def end() -> None:
        await _change(visit, tap, None)

    async def look_back() -> None:
        last = await visit.hub.read(lambda connection: tapping.read_last(connection, tap))
        if last is None:
            ui.notify(words("nothing_said"))
        else:
            names = await visit.hub.read(read_names)
            name = names.get(("keg", last.subject), "")
            await open_history(visit, name, "keg", last.subject, partial(keg_teller, visit))

    with ui.row().classes("gap-1"):
        ui.button(words("new_keg"), on_click=ask).props("flat dense no-caps")
        calibrate = ui.button(words("calibrate"), on_click=lambda: ui.navigate.to(f"/calibrate?tap={tap}"))
        calibrate.props("flat dense no-caps")
        ui.button(words("history"), on_click=look_back).props("flat dense no-caps")
        return ui.button(words("end_keg"), on_click=end).props("flat dense no-caps")


async def _change(visit: Visit, tap: int, new: tuple[str, float, float | None] | None) -> bool:
    """End the keg at ``tap`` now, and let a new one begin there: of a beverage, its size, and what is in it."""

    def work(connection: Connection) -> None:
        name, now_ms = visit.who.name, visit.hub.clock_ms()
        if new is None:
            tapping.end_keg(connection, tap, name, now_ms)
        else:
            beverage, size_ml, start_ml = new
            tapping.tap_keg(connection, tap, bodies.Beverage(name=beverage), size_ml, name, now_ms, start_ml=start_ml)

    return await visit.do(work)
