"""The devices: which there are, when they were last heard of, and with which key they sign; who is let in or out."""

from collections.abc import Awaitable, Callable

from fastapi import Request
from nicegui import ui
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.dialogs import open_dialog
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.dashboard.invitations import Invitations
from kegnet_client.hub.dashboard.old import OLD
from kegnet_client.hub.domain.levels import STALE_MS, is_stale
from kegnet_client.hub.domain.roles import Role
from kegnet_client.hub.store import devices

CHANNELS = ("pours", "temperatures")
_NARROW = "[overflow-wrap:anywhere] min-w-16"


async def page(hub: Hub, request: Request) -> None:
    """Show them; an admin may invite and revoke."""
    visit = await Visit.begin(hub, request)
    words = visit.words
    columns = [
        # On a phone all of it is to be seen, whatever the length of a name.
        {"name": name, "label": words(name), "field": name, "align": "left", "classes": _NARROW}
        for name in ("name", "last_seen", "address", "key")
    ]
    columns[1][":classes"] = f"row => row.is_silent ? '{_NARROW} {OLD}' : '{_NARROW}'"
    with frame(visit, "devices"):
        table = ui.table(columns=columns, rows=[], row_key="id").classes("w-full").props("flat dense wrap-cells")
        with ui.element("div").classes("grid gap-4 md:grid-cols-2 items-start mt-4"):
            invitations = Invitations(visit) if visit.may_admit else None
            revoking = _Revoking(visit, lambda: refresh()) if visit.may_admit else None

    async def refresh() -> None:
        now_ms = hub.clock_ms()
        found = await run_in_threadpool(hub.store.devices)
        rows = []
        for one in found:
            seen = words("never") if one.last_seen_ms is None else words.ago(now_ms - one.last_seen_ms)
            is_silent = one.last_seen_ms is not None and is_stale(one.last_seen_ms, now_ms, STALE_MS)
            if one.revoked_ms is not None:
                seen = f"{words('revoked')}, {seen}"
            elif is_silent:
                seen = words("silent", ago=seen)
            rows.append(
                {
                    "id": one.uuid,
                    "name": one.name,
                    "last_seen": seen,
                    "is_silent": is_silent,
                    "address": one.address or "-",
                    "key": one.key_fingerprint[:16],
                }
            )
        if rows != table.rows:
            table.rows = rows
            table.update()
        if invitations is not None:
            await invitations.refresh()
        if revoking is not None:
            revoking.show({one.uuid: one.name for one in found if one.revoked_ms is None})

    await refresh()
    visit.follow(CHANNELS, refresh)


class _Revoking:
    """The card by which a device is taken nothing from any more."""

    def __init__(self, visit: Visit, on_revoked: Callable[[], Awaitable[None]]) -> None:
        self._visit, self._on_revoked = visit, on_revoked
        words = visit.words
        with ui.card().classes("w-full") as self._card:
            ui.label(words("revoke_a_device")).classes("text-xl")
            self._device = ui.select({}, label=words("device")).classes("w-full")
            ui.button(words("revoke"), on_click=self._ask).props("no-caps")

    def show(self, names: dict[str, str]) -> None:
        """Let it be one of those."""
        self._card.set_visibility(bool(names))
        if names != self._device.options:
            self._device.set_options(names, value=self._device.value if self._device.value in names else None)

    def _ask(self) -> None:
        visit, words, uuid = self._visit, self._visit.words, self._device.value
        if uuid is None:
            return

        async def revoke() -> None:
            def work(connection: Connection) -> None:
                devices.revoke(connection, uuid, visit.hub.clock_ms())

            if await visit.do(work, Role.ADMIN):
                await self._on_revoked()
                dialog.close()

        with open_dialog(words("revoke_of", of=self._device.options[uuid])) as dialog:
            ui.label(words("revoke_device"))
            with ui.row():
                ui.button(words("revoke"), on_click=revoke).props("no-caps")
                ui.button(words("cancel"), on_click=dialog.close).props("flat no-caps")
