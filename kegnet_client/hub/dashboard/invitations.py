"""Inviting a device: the command to paste there, shown once, and the invitations that are open, to be cancelled."""

from functools import partial

from nicegui import ui
from sqlalchemy import Connection

from kegnet_client.core.wire.base_url import is_loopback
from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.dialogs import open_dialog
from kegnet_client.hub.dashboard.shown_list import ShownList
from kegnet_client.hub.dashboard.shown_once import show_secret
from kegnet_client.hub.domain.roles import Role
from kegnet_client.hub.store import bodies, enrolment
from kegnet_client.hub.store.enrolment import Invitation

MINUTES = {60: "an_hour", 24 * 60: "a_day", 7 * 24 * 60: "a_week"}
"""For how long an invitation may be good."""


async def invite(visit: Visit, name: str, minutes: int) -> str | None:
    """The command that enrols a device called ``name``; without one it is called by its uuid. None if it may not be."""
    made: list[bytes] = []

    def work(connection: Connection) -> None:
        checked = bodies.NAME.validate_python(name) if name.strip() else None
        expires_ms = visit.hub.clock_ms() + minutes * 60_000
        made.append(enrolment.make_invitation(connection, checked, expires_ms))

    return visit.hub.entrance.enrol_command(made[0]) if await visit.do(work, Role.ADMIN) else None


def show_command(visit: Visit, command: str) -> None:
    """Add ``command``, with what is to be done with it."""
    entrance = visit.hub.entrance
    ui.label(visit.words("paste_there"))
    show_secret(visit, command)
    if is_loopback(entrance.host):
        ui.label(visit.words("here_alone", hosts=", ".join(entrance.hosts))).classes("text-negative")


class Invitations:
    """The card that lets another device in, with the invitations that are open."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        words = visit.words
        lengths = {minutes: words(name) for minutes, name in MINUTES.items()}
        with ui.card().classes("w-full"):
            ui.label(words("invite")).classes("text-xl")
            self._name = ui.input(words("device_name")).props("maxlength=100").classes("w-full")
            self._minutes = ui.select(lengths, value=60, label=words("good_for")).classes("w-full")
            ui.button(words("make_invitation"), on_click=self._invite).props("no-caps")
            self._list = ShownList(self._draw, title=words("open_invitations"))

    async def refresh(self) -> None:
        """Show what is open."""
        now_ms = self._visit.hub.clock_ms()
        self._list.show(await self._visit.hub.read(lambda connection: enrolment.read_open(connection, now_ms)))

    def _draw(self, one: Invitation) -> None:
        words = self._visit.words
        name = one.name or words("any_device")
        until = words("good_until", when=figures.moment(one.expires_ms, self._visit.settings.timezone))
        with ui.row().classes("w-full items-center justify-between no-wrap"):
            ui.label(f"{name}, {until}").classes("break-words min-w-0")
            button = ui.button(words("cancel"), on_click=partial(self._cancel, one)).props("flat dense no-caps")
            button.props["aria-label"] = words("cancel_of", of=name)

    async def _invite(self) -> None:
        command = await invite(self._visit, self._name.value or "", int(self._minutes.value))
        if command is None:
            return
        self._name.value = ""
        with open_dialog(self._visit.words("invite")) as dialog:
            show_command(self._visit, command)
            ui.button(self._visit.words("close"), on_click=dialog.close).props("flat no-caps")
        await self.refresh()

    async def _cancel(self, one: Invitation) -> None:
        now_ms = self._visit.hub.clock_ms()
        if await self._visit.do(lambda connection: enrolment.cancel(connection, one.secret_sha256, now_ms), Role.ADMIN):
            await self.refresh()
