"""What was poured, newest first: with its volume, tap and keg, and what a person said that it was."""

from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.dashboard.names import read_names
from kegnet_client.hub.store import bodies, volumes
from kegnet_client.hub.store.pages import Query

CHANNELS = ("pours", "adjustments", "calibrations", "taps", "kegs", "beverages")
PAGE = 50


async def page(hub: Hub, request: Request) -> None:
    """Show them."""
    visit = await Visit.begin(hub, request)
    words = visit.words
    after: list[tuple[int, int]] = []
    columns = [
        {"name": name, "label": words(name), "field": name, "align": "left"}
        for name in ("when", "tap", "keg", "volume", "took", "remark")
    ]
    with frame(visit, "pours"):
        with ui.row().classes("items-center gap-4"):
            unassigned = ui.switch(words("unassigned"))
            newest = ui.button(words("newest")).props("flat dense no-caps")
            older = ui.button(words("more")).props("flat dense no-caps")
        table = ui.table(columns=columns, rows=[], row_key="id").classes("w-full").props("flat dense wrap-cells")
    next_page: list[tuple[int, int] | None] = [None]

    async def refresh() -> None:
        names = await hub.read(read_names)
        statement = volumes.SELECT_POURS
        if unassigned.value:
            statement = statement.where(volumes.IS_UNASSIGNED)
        query = Query(PAGE, after[-1] if after else None)
        found = await run_in_threadpool(hub.store.page, statement, "started_ms", query)
        next_page[0] = found.next
        older.set_visibility(found.next is not None)
        newest.set_visibility(bool(after))
        rows = [_row(visit, dict(row._mapping), names) for row in found.rows]
        if rows != table.rows:
            table.rows = rows
            table.update()

    async def go_on() -> None:
        if next_page[0] is not None:
            after.append(next_page[0])
            await refresh()

    async def go_back() -> None:
        after.clear()
        await refresh()

    unassigned.on_value_change(refresh)
    older.on_click(go_on)
    newest.on_click(go_back)
    if visit.may_operate:
        table.on("rowClick", lambda event: _adjust(visit, int(event.args[1]["id"])))
    await refresh()
    visit.follow(CHANNELS, refresh)


def _row(visit: Visit, pour: dict[str, Any], names: dict[tuple[str, int], str]) -> dict[str, Any]:
    settings, words = visit.settings, visit.words
    volume_nl = pour["volume_nl"]
    pulses = f"{pour['pulses']} {words('pulses')}"
    return {
        "id": pour["id"],
        "when": figures.moment(pour["started_ms"], settings.timezone),
        "tap": names.get(("tap", pour["tap"]), f"{pour['device'][:8]} {words('pin')} {pour['pin']}"),
        "keg": names.get(("keg", pour["keg"]), "-"),
        "volume": pulses if volume_nl is None else figures.small_volume(volume_nl / 1_000_000, settings.units),
        "took": f"{pour['elapsed_ms'] / 1000:.1f} s",
        "remark": " ".join(
            filter(None, (words(pour["adjustment"]) if pour["adjustment"] in _WAYS else "", pour["reason"]))
        ),
    }


_WAYS = ("void", "spill")


async def _adjust(visit: Visit, pour: int) -> None:
    words = visit.words
    names = await visit.hub.read(read_names)
    kegs = {number: name for (kind, number), name in names.items() if kind == "keg"}
    ways = {
        "void": words("void"),
        "spill": words("spill"),
        "volume": words("volume_was"),
        "keg": words("keg_was"),
        "none": words("none"),
    }
    with ui.dialog() as dialog, ui.card():
        ui.label(words("adjust")).classes("text-xl")
        what = ui.radio(ways, value="void")
        volume = ui.number("ml", min=0, max=bodies.MAX_ML).bind_visibility_from(what, "value", value="volume")
        keg = ui.select(kegs, label=words("keg")).bind_visibility_from(what, "value", value="keg")
        reason = ui.input(words("reason")).props("maxlength=500")

        async def save() -> None:
            if (what.value == "volume" and volume.value is None) or (what.value == "keg" and keg.value is None):
                return
            body = bodies.Adjustment(
                what=what.value,
                volume_ml=volume.value if what.value == "volume" else None,
                keg=keg.value if what.value == "keg" else None,
                reason=reason.value or "",
            )
            if await visit.say("adjustment", pour, body):
                dialog.close()

        with ui.row():
            ui.button(words("save"), on_click=save)
            ui.button(words("cancel"), on_click=dialog.close).props("flat")
    dialog.open()
