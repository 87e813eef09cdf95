"""The calibrations of a meter: which holds from when, who said so, and taking one back or letting it hold again."""

from functools import partial

from nicegui import ui
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.shown_list import ShownList
from kegnet_client.hub.domain.periods import Meter
from kegnet_client.hub.store import bodies, entries, house
from kegnet_client.hub.store.entries import Entry


def figure(visit: Visit, nanolitres_per_pulse: int) -> str:
    """What a pulse is worth."""
    ml, pulses = figures.pulse(nanolitres_per_pulse, visit.settings.language)
    return visit.words("figure", ml=ml, pulses=pulses)


class Calibrations:
    """The card of those of ``meter``, the newest first."""

    def __init__(self, visit: Visit, meter: Meter) -> None:
        self._visit, self._meter = visit, meter
        with ui.card().classes("w-full"):
            ui.label(visit.words("calibrations")).classes("text-xl")
            self._list = ShownList(self._draw, visit.words("no_calibrations"))

    async def refresh(self) -> None:
        """Show what was said meanwhile."""
        self._list.show(await self._visit.hub.read(self._read))

    def _read(self, connection: Connection) -> list[Entry]:
        found = [
            one
            for one in entries.read_all(connection, "calibration")
            if (one.body["device"], one.body["pin"]) == self._meter
        ]
        return sorted(found, key=lambda one: (one.body["from_ms"], one.subject), reverse=True)

    def _draw(self, one: Entry) -> None:
        visit, words, zone = self._visit, self._visit.words, self._visit.settings.timezone
        body = bodies.Calibration.model_validate(one.body)
        is_ended = body.ended_ms is not None
        when = figures.moment(body.from_ms, zone) if body.from_ms else words("from_always")
        text = words("calibration", figure=figure(visit, body.nanolitres_per_pulse or 0), when=when)
        with ui.column().classes("w-full gap-0"):
            ui.label(text).classes("font-bold" + (" line-through opacity-60" if is_ended else ""))
            if body.pulses is not None:
                what = f"{body.weight_g:g} g" if body.volume_ml is None else f"{body.volume_ml:g} ml"
                what = figures.decimal(what, visit.settings.language)
                ui.label(words("of_measured", what=what, pulses=body.pulses)).classes("text-sm")
            by = words("said_by", who=one.said_by, when=figures.moment(one.recorded_ms, zone))
            ui.label(f"{words('taken_back')}: {by}" if is_ended else by).classes("text-sm opacity-70")
            if visit.may_operate:
                turn = partial(self._turn, one, body)
                ui.button(words("hold_again" if is_ended else "take_back"), on_click=turn).props("flat dense no-caps")

    async def _turn(self, one: Entry, body: bodies.Calibration) -> None:
        """Take it back if it holds, let it hold if not; unless somebody has said something else of it meanwhile."""
        visit = self._visit
        now_ms = visit.hub.clock_ms()
        said = body.model_copy(update={"ended_ms": now_ms if body.ended_ms is None else None})
        await visit.do(
            lambda connection: house.say(connection, "calibration", one.subject, said, visit.who.name, now_ms, one.id)
        )
