"""Starting a profile in a place, and stopping it there."""

import datetime
from zoneinfo import ZoneInfo

from nicegui import ui
from pydantic import ValidationError

from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.profile_state import ProfileState
from kegnet_client.hub.store import bodies, runs
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.runs import Place

_FORM = "%Y-%m-%dT%H:%M"


def open_start(visit: Visit, state: ProfileState, profile: int) -> None:
    """Ask where and since when ``profile`` is to run."""
    words = visit.words
    zone = ZoneInfo(visit.settings.timezone)
    now = datetime.datetime.fromtimestamp(visit.hub.clock_ms() / 1000, zone)
    places = dict(enumerate(state.places))
    names = {one.subject: str(one.body["name"]) for one in state.profiles}

    def tell_other() -> None:
        other = state.running.get(places[where.value]) if where.value is not None else None
        name = names.get(other.body["profile"], "?") if other is not None else ""
        ends.text = words("ends_there", profile=name) if other is not None else ""

    with ui.dialog() as dialog, ui.card().classes("w-full max-w-md"):
        ui.label(words("start_run")).classes("text-xl")
        if not places:
            ui.label(words("no_places"))
        where = ui.select(
            {number: state.places[place] for number, place in places.items()},
            label=words("where"),
            on_change=tell_other,
        ).classes("w-full")
        since = ui.input(words("started_at"), value=now.strftime(_FORM)).props("type=datetime-local").classes("w-full")
        ends = ui.label().classes("text-sm")

        async def start() -> None:
            if where.value is None:
                ui.notify(words("wrong", text=words("where")), type="negative")
                return
            now_ms = visit.hub.clock_ms()
            try:
                started = datetime.datetime.strptime(since.value or "", _FORM).replace(tzinfo=zone)
                # The field knows minutes: what was not touched is now.
                started_ms = now_ms if since.value == now.strftime(_FORM) else round(started.timestamp() * 1000)
                body = _body(profile, places[where.value], started_ms)
            except ValidationError as error:
                visit.tell_wrong(error)
                return
            except (ValueError, OverflowError):
                ui.notify(words("wrong", text=words("started_at")), type="negative")
                return
            if await visit.do(lambda connection: runs.start(connection, body, visit.who.name, now_ms)):
                dialog.close()

        with ui.row():
            ui.button(words("start"), on_click=start)
            ui.button(words("cancel"), on_click=dialog.close).props("flat")
    dialog.open()


def open_stop(visit: Visit, run: Entry, place: str) -> None:
    """Ask once more, then end ``run``."""
    words = visit.words

    async def stop() -> None:
        now_ms = visit.hub.clock_ms()
        await visit.do(lambda connection: runs.stop(connection, run, visit.who.name, now_ms))
        dialog.close()

    with ui.dialog() as dialog, ui.card():
        ui.label(words("stop_run", place=place)).classes("text-xl")
        with ui.row():
            ui.button(words("stop"), on_click=stop).props("color=negative")
            ui.button(words("cancel"), on_click=dialog.close).props("flat")
    dialog.open()


def _body(profile: int, place: Place, started_ms: int) -> bodies.Run:
    sensor, controller, chamber = place
    return bodies.Run(profile=profile, sensor=sensor, controller=controller, chamber=chamber, started_ms=started_ms)
