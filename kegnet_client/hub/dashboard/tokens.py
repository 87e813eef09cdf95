"""The tokens, for admins: making one, which is shown once, and revoking one."""

from functools import partial

from nicegui import ui
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.dialogs import open_dialog
from kegnet_client.hub.dashboard.shown_list import ShownList, add_row
from kegnet_client.hub.dashboard.shown_once import show_secret
from kegnet_client.hub.domain.roles import FIRST, Role
from kegnet_client.hub.store import bodies, tokens
from kegnet_client.hub.store.tokens import Token


class Tokens:
    """The card of the tokens that open something."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        words = visit.words
        roles = {role.word: words(f"may_{role.word}") for role in Role}
        with ui.card().classes("w-full"):
            ui.label(words("tokens")).classes("text-xl")
            self._list = ShownList(self._draw)
            ui.label(words("new_token")).classes("text-lg mt-2")
            self._name = ui.input(words("token_name")).props("maxlength=100").classes("w-full")
            self._role = ui.radio(roles, value=Role.READ.word)
            ui.button(words("make_token"), on_click=self._make).props("no-caps")

    async def refresh(self) -> None:
        """Show those that open something."""
        hub = self._visit.hub
        found = await hub.read(lambda connection: _read(connection, hub))
        self._list.show([(one.name, self._tell(one)) for one in found])

    def _draw(self, shown: tuple[str, str]) -> None:
        (name, told), words = shown, self._visit.words
        add_row(name, told, words("revoke"), words("revoke_of", of=name), partial(self._ask, name))

    def _tell(self, one: Token) -> str:
        words, zone = self._visit.words, self._visit.settings.timezone
        parts = [words(f"may_{one.role.word}")]
        if one.name == FIRST.name:
            parts.append(words("token_of_init"))
        elif one.expires_ms is not None:
            parts.append(words("good_until", when=figures.moment(one.expires_ms, zone)))
        else:
            parts.append(words("made_at", when=figures.moment(one.made_ms, zone)))
        if one.name == self._visit.who.name:
            parts.append(words("your_own"))
        return ", ".join(parts)

    async def _make(self) -> None:
        visit = self._visit
        made: list[str] = []

        def work(connection: Connection) -> None:
            name = bodies.NAME.validate_python(self._name.value or "")
            made.append(tokens.make(connection, name, Role.of(self._role.value), visit.hub.clock_ms()))

        if await visit.do(work, Role.ADMIN):
            with open_dialog(visit.words("token_of", of=self._name.value)) as dialog:
                ui.label(visit.words("shown_once"))
                show_secret(visit, made[0])
                ui.button(visit.words("close"), on_click=dialog.close).props("flat no-caps")
            self._name.value = ""
            await self.refresh()

    def _ask(self, name: str) -> None:
        words = self._visit.words

        async def revoke() -> None:
            hub = self._visit.hub
            if await self._visit.do(
                lambda connection: tokens.revoke(connection, name, hub.first_sha256, hub.clock_ms()), Role.ADMIN
            ):
                await self.refresh()
                dialog.close()

        with open_dialog(words("revoke_of", of=name)) as dialog:
            ui.label(words("revoke_your_own" if name == self._visit.who.name else "revoke_what"))
            with ui.row():
                ui.button(words("revoke"), on_click=revoke).props("no-caps")
                ui.button(words("cancel"), on_click=dialog.close).props("flat no-caps")


def _read(connection: Connection, hub: Hub) -> list[Token]:
    """Those that open something now, that of ``hub init`` first."""
    now_ms = hub.clock_ms()
    found = [
        one
        for one in tokens.read_all(connection)
        if one.revoked_ms is None and (one.expires_ms is None or one.expires_ms > now_ms)
    ]
    first = tokens.find(connection, hub.first_sha256, hub.first_sha256, now_ms)
    return found if first is None else [Token(FIRST.name, FIRST.role, 0, None, None), *found]
