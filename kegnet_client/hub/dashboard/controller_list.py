"""The card of the controllers of temperatures, such as BrewPis: how each is reached, and its chambers."""

from functools import partial

from nicegui import ui
from pydantic import ValidationError

from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.dialogs import open_dialog
from kegnet_client.hub.dashboard.shown_list import ShownList, add_row
from kegnet_client.hub.store import bodies, entries
from kegnet_client.hub.store.entries import Entry


class ControllerList:
    """The card; `refresh` shows what holds."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        with ui.card().classes("w-full"):
            ui.label(visit.words("controllers")).classes("text-xl")
            self._list = ShownList(self._draw, visit.words("no_controllers"))
            ui.button(visit.words("new_controller"), on_click=partial(self._ask, None)).props("no-caps flat dense")

    async def refresh(self) -> None:
        """Show the controllers that there are."""
        self._list.show(await self._visit.hub.read(lambda connection: entries.read_open(connection, "controller")))

    def _draw(self, one: Entry) -> None:
        words, name = self._visit.words, one.body["name"] or f"#{one.subject}"
        add_row(name, _tell(one), words("change"), words("change_of", of=name), partial(self._ask, one))

    def _ask(self, entry: Entry | None) -> None:
        visit, words = self._visit, self._visit.words
        body = bodies.Controller() if entry is None else bodies.Controller.model_validate(entry.body)
        chambers = _by_name(body)
        with open_dialog(words("new_controller") if entry is None else words("change_of", of=body.name)) as dialog:
            name = ui.input(words("name"), value=body.name).props("autofocus maxlength=200").classes("w-full")
            address = ui.input(words("controller_address"), value=body.address).classes("w-full")
            port = ui.input(words("controller_port"), value=body.port).classes("w-full")
            socket = ui.input(words("controller_socket"), value=body.socket).classes("w-full")
            places = ui.textarea(words("controller_chambers"), value="\n".join(chambers)).classes("w-full")

            async def save(*, ends: bool = False) -> None:
                wanted = [one.strip() for one in (places.value or "").splitlines() if one.strip()]
                try:
                    said = bodies.Controller(
                        name=name.value or "",
                        address=address.value or "",
                        port=port.value or "",
                        socket=socket.value or "",
                        # What is wired to a chamber stays with its name.
                        chambers=[chambers.get(one) or bodies.Chamber(name=one) for one in wanted],
                        ended_ms=visit.hub.clock_ms() if ends else None,
                    )
                except ValidationError as error:
                    visit.tell_wrong(error)
                    return
                number, seen_id = (None, None) if entry is None else (entry.subject, entry.id)
                if await visit.say("controller", number, said, seen_id):
                    dialog.close()
                    await self.refresh()

            with ui.row():
                ui.button(words("save"), on_click=lambda: save()).props("no-caps")
                ui.button(words("cancel"), on_click=dialog.close).props("flat no-caps")
                if entry is not None:
                    ui.button(words("controller_gone"), on_click=lambda: save(ends=True)).props("flat no-caps")


def _by_name(controller: bodies.Controller) -> dict[str, bodies.Chamber]:
    """Its chambers, each by a name of its own."""
    found: dict[str, bodies.Chamber] = {}
    for number, one in enumerate(controller.chambers, 1):
        found[one.name if one.name and one.name not in found else f"{one.name} #{number}".strip()] = one
    return found


def _tell(entry: Entry) -> str:
    body = entry.body
    place = body["socket"] or ":".join(filter(None, (body["address"], body["port"]))) or "-"
    return " · ".join([place, *(one["name"] or f"#{number}" for number, one in enumerate(body["chambers"], 1))])
