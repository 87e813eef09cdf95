"""The devices: which there are, when they were last heard of, and with which key they sign."""

from fastapi import Request
from nicegui import ui
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.frame import frame

CHANNELS = ("pours", "temperatures")


async def page(hub: Hub, request: Request) -> None:
    """Show them."""
    visit = await Visit.begin(hub, request)
    words = visit.words
    columns = [
        {"name": name, "label": words(name), "field": name, "align": "left"}
        for name in ("name", "last_seen", "address", "key")
    ]
    with frame(visit, "devices"):
        table = ui.table(columns=columns, rows=[], row_key="id").classes("w-full").props("flat wrap-cells")

    async def refresh() -> None:
        now_ms = hub.clock_ms()
        devices = await run_in_threadpool(hub.store.devices)
        rows = []
        for one in devices:
            seen = words("never") if one.last_seen_ms is None else words.ago(now_ms - one.last_seen_ms)
            rows.append(
                {
                    "id": one.uuid,
                    "name": one.name,
                    "last_seen": seen if one.revoked_ms is None else f"{words('revoked')}, {seen}",
                    "address": one.address or "-",
                    "key": one.key_fingerprint[:16],
                }
            )
        if rows != table.rows:
            table.rows = rows
            table.update()

    await refresh()
    visit.follow(CHANNELS, refresh)
