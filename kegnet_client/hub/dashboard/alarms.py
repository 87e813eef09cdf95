"""What is wrong: what stands, to be acknowledged, and what stood before."""

from functools import partial
from typing import Any

from fastapi import Request
from nicegui import ui

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.frame import frame, read_standing
from kegnet_client.hub.domain.alarms import Alarm
from kegnet_client.hub.store import alarms

MAX_SHOWN = 100
_NARROW = "whitespace-pre-line [overflow-wrap:anywhere] min-w-24"


async def page(hub: Hub, request: Request) -> None:
    """Show them; who may operate may acknowledge."""
    visit = await Visit.begin(hub, request)
    words = visit.words
    columns = [
        # Two things in one column, each on a line of its own: a phone is narrow.
        {"name": name, "label": words(name), "field": name, "align": "left", "classes": _NARROW}
        for name in ("what", "since", "state")
    ]
    with frame(visit, "alarms"):
        standing = ui.column().classes("w-full gap-2")
        ui.label(words("history")).classes("text-xl mt-4")
        table = ui.table(columns=columns, rows=[], row_key="id").classes("w-full").props("flat dense wrap-cells")
    shown: list[list[tuple[int, Alarm]]] = []

    async def refresh() -> None:
        found = list((await hub.read_together(read_standing)).values())
        if shown != [found]:
            shown[:] = [found]
            standing.clear()
            with standing:
                if not found:
                    ui.label(words("no_alarms")).classes("text-2xl")
                for number, alarm in reversed(found):
                    _show(visit, number, alarm)
        rows = [_row(visit, one) for one in await hub.read(partial(alarms.read_history, limit=MAX_SHOWN))]
        if rows != table.rows:
            table.rows = rows
            table.update()

    await refresh()
    visit.follow((alarms.CHANNEL,), refresh)


def _show(visit: Visit, number: int, alarm: Alarm) -> None:
    words = visit.words

    async def say_known() -> None:
        now_ms = visit.hub.clock_ms()
        await visit.do(lambda connection: alarms.acknowledge_one(connection, number, visit.who.name, now_ms))

    with ui.card().classes("w-full"), ui.row().classes("w-full items-center justify-between gap-2"):
        with ui.column().classes("gap-0"):
            ui.label(alarm.text).classes("text-xl font-bold").props(f'id="alarm-{number}"')
            ui.label(f"{words(alarm.state.value)} · {figures.moment(alarm.raised_ms, visit.settings.timezone)}")
        if visit.may_operate and alarm.acknowledged_ms is None:
            ui.button(words("acknowledge"), on_click=say_known).props(f'no-caps aria-describedby="alarm-{number}"')


def _row(visit: Visit, alarm: dict[str, Any]) -> dict[str, Any]:
    words, zone = visit.words, visit.settings.timezone
    since, state = [figures.moment(alarm["raised_ms"], zone)], [words(alarm["state"])]
    if alarm["cleared_ms"] is not None:
        since.append(words("until", when=figures.moment(alarm["cleared_ms"], zone)))
    if alarm["acknowledged_by"]:
        state.append(words("by", who=alarm["acknowledged_by"]))
    return {"id": alarm["id"], "what": alarm["text"], "since": "\n".join(since), "state": "\n".join(state)}
