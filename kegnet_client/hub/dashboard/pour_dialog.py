"""What a pour was, said in a dialog: none, spilt, of another volume or keg, and why; with what was said before."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.dialogs import open_dialog
from kegnet_client.hub.dashboard.history import Tell, show_history
from kegnet_client.hub.dashboard.names import Names, read_names
from kegnet_client.hub.dashboard.pour_row import PourText
from kegnet_client.hub.store import bodies, entries, house
from kegnet_client.hub.store.entries import Entry

WAYS = ("void", "spill", "volume", "keg", "none")
_LABELS = {"volume": "volume_was", "keg": "keg_was"}

OnSaid = Callable[[Entry], Awaitable[None]]


async def say_what_it_was(visit: Visit, pour: int, fields: dict[str, Any]) -> Entry | None:
    """Say it; what was said of its volume or keg before, and goes with it, stays. None where it does not hold."""
    said: list[Entry] = []
    now_ms = visit.hub.clock_ms()

    def work(connection: Connection) -> None:
        entries.lock(connection)
        held = entries.read_one(connection, "adjustment", pour)
        kept: dict[str, Any] = {}
        if held is not None and fields["what"] in ("volume", "keg") and held.body["what"] in ("volume", "keg"):
            kept = {"volume_ml": held.body["volume_ml"], "keg": held.body["keg"]}
        body = bodies.Adjustment.model_validate({**kept, **fields})
        said.append(house.say(connection, "adjustment", pour, body, visit.who.name, now_ms))

    return said[0] if await visit.do(work) else None


def pour_teller(visit: Visit, names: Names) -> Tell:
    """Tells what an entry says of a pour."""

    def tell(entry: Entry) -> str:
        body = bodies.Adjustment.model_validate(entry.body)
        parts = [visit.words(_LABELS.get(body.what, body.what))]
        if body.volume_ml is not None:
            parts.append(figures.small_volume(body.volume_ml, visit.settings))
        if body.keg is not None:
            parts.append(names.get(("keg", body.keg), str(body.keg)))
        return " ".join(filter(None, (*parts, body.reason and f"({body.reason})")))

    return tell


async def open_pour(visit: Visit, pour: PourText, on_said: OnSaid) -> None:
    """Ask what ``pour`` was; ``on_said`` is called with the entry."""
    words = visit.words
    found, names = await visit.hub.read(
        lambda connection: (entries.read_history(connection, "adjustment", pour.id), read_names(connection))
    )
    kegs = {number: name for (kind, number), name in names.items() if kind == "keg"}
    is_us = visit.settings.units == "us"
    with open_dialog(f"{pour.volume}, {pour.when}") as dialog:
        ui.label(pour.place)
        what = ui.radio({way: words(_LABELS.get(way, way)) for way in WAYS}, value=None)
        volume = ui.number(words("volume_oz" if is_us else "volume_ml"), min=0, max=bodies.MAX_ML)
        volume.bind_visibility_from(what, "value", value="volume")
        keg = ui.select(kegs, label=words("keg")).classes("w-full").bind_visibility_from(what, "value", value="keg")
        reason = ui.input(words("reason")).props("maxlength=500").classes("w-full")

        async def save() -> None:
            if what.value is None:
                return
            fields: dict[str, Any] = {"what": what.value, "reason": reason.value or ""}
            if what.value == "volume" and volume.value is not None:
                fields["volume_ml"] = volume.value * (figures.ML_PER_OUNCE if is_us else 1)
            if what.value == "keg":
                fields["keg"] = keg.value
            entry = await say_what_it_was(visit, pour.id, fields)
            if entry is not None:
                await on_said(entry)
                dialog.close()

        with ui.row():
            ui.button(words("save"), on_click=save).props("no-caps")
            ui.button(words("cancel"), on_click=dialog.close).props("flat no-caps")
        ui.label(words("history")).classes("text-lg mt-2")
        show_history(visit, found, pour_teller(visit, names), dialog.close)
