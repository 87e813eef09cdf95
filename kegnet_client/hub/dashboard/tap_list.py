"""The card of the taps: each with its meter and thermometer, changed by a dialog, and another one."""

from functools import partial
from typing import Any

from nicegui import ui
from pydantic import ValidationError
from sqlalchemy import Connection

from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.dialogs import open_dialog
from kegnet_client.hub.dashboard.names import read_devices
from kegnet_client.hub.dashboard.shown_list import ShownList, add_row
from kegnet_client.hub.domain import meters
from kegnet_client.hub.store import bodies, entries, readings
from kegnet_client.hub.store.entries import Entry

_KINDS = tuple(meters.DEFAULTS)
Meter = dict[str, Any]


class TapList:
    """The card; `refresh` shows what holds."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        with ui.card().classes("w-full"):
            ui.label(visit.words("taps")).classes("text-xl")
            self._list = ShownList(self._draw)
            ui.button(visit.words("new_tap"), on_click=partial(self._ask, None)).props("no-caps flat dense")

    async def refresh(self) -> None:
        """Show the taps that there are."""
        visit = self._visit
        taps, devices = await visit.hub.read(lambda c: (entries.read_open(c, "tap"), read_devices(c)))
        self._list.show([(tap, _tell(visit, tap, devices)) for tap in taps])

    def _draw(self, shown: tuple[Entry, str]) -> None:
        (tap, told), words = shown, self._visit.words
        name = tap.body["name"]
        add_row(name, told, words("change"), words("change_of", of=name), partial(self._ask, tap))

    async def _ask(self, tap: Entry | None) -> None:
        visit, words = self._visit, self._visit.words
        devices, sensors = await visit.hub.read(lambda connection: _read_choices(connection, visit.hub.clock_ms()))
        body = bodies.Tap.model_validate(tap.body).model_dump() if tap else {"name": "", "meters": [], "sensor": None}
        now: Meter = current(body["meters"], visit.hub.clock_ms()) or {}
        if now and now["device"] not in devices:
            devices = {**devices, now["device"]: now["device"]}
        with open_dialog(words("new_tap") if tap is None else words("change_of", of=body["name"])) as dialog:
            name = ui.input(words("tap"), value=body["name"]).props("autofocus maxlength=100").classes("w-full")
            device = ui.select(devices, value=now.get("device"), label=words("device"), clearable=True)
            device.classes("w-full")
            with ui.row().classes("w-full no-wrap"):
                pin = ui.number(words("pin"), value=now.get("pin", 0), min=0, max=255, precision=0).classes("w-24")
                kind = ui.select(list(_KINDS), value=now.get("kind", _KINDS[0]), label=words("meter_kind"))
                kind.classes("grow")
            since = ui.radio({"now": words("since_now"), "always": words("since_always")}, value="now")
            since.set_visibility(bool(now))
            sensor = ui.input(words("sensor"), value=body["sensor"] or "", autocomplete=sensors)
            sensor.props('maxlength=15 placeholder="28-0000057fa1b2"').classes("w-full")

            async def save(*, ends: bool = False) -> None:
                at_ms = visit.hub.clock_ms()
                wanted: Meter | None = None
                if device.value is not None:
                    wanted = {"device": device.value, "pin": int(pin.value or 0), "kind": kind.value}
                try:
                    said = bodies.Tap.model_validate(
                        {
                            "name": name.value,
                            "meters": replace(body["meters"], wanted, at_ms, always=since.value == "always"),
                            "sensor": (sensor.value or "").strip() or None,
                            "ended_ms": at_ms if ends else None,
                        }
                    )
                except ValidationError as error:
                    visit.tell_wrong(error)
                    return
                number, seen_id = (None, None) if tap is None else (tap.subject, tap.id)
                if await visit.say("tap", number, said, seen_id):
                    dialog.close()
                    await self.refresh()

            with ui.row():
                ui.button(words("save"), on_click=lambda: save()).props("no-caps")
                ui.button(words("cancel"), on_click=dialog.close).props("flat no-caps")
                if tap is not None:
                    ui.button(words("tap_gone"), on_click=lambda: save(ends=True)).props("flat no-caps")


def current(meters: list[Meter], now_ms: int) -> Meter | None:
    """The meter that counts at ``now_ms``, if one does."""
    return next(
        (
            one
            for one in reversed(meters)
            if one["from_ms"] <= now_ms and (one["until_ms"] is None or now_ms < one["until_ms"])
        ),
        None,
    )


def replace(meters: list[Meter], wanted: Meter | None, now_ms: int, *, always: bool) -> list[Meter]:
    """``meters``, with ``wanted`` in the place of the one that counts now: from now on, or as if it always had.

    A meter that stays is left as it is. None takes the meter away.
    """
    old = current(meters, now_ms)
    if old is not None and wanted is not None and all(old[name] == value for name, value in wanted.items()):
        return meters
    others = [one for one in meters if one is not old]
    if always and old is not None:
        return others if wanted is None else [*others, {**old, **wanted}]
    if old is not None and old["from_ms"] < now_ms:
        others.append({**old, "until_ms": now_ms})
    # The first one counts for what came before, too: it is how pours are found that were there before the tap was.
    from_ms = now_ms if meters else 0
    return others if wanted is None else [*others, {**wanted, "from_ms": from_ms, "until_ms": None}]


def _tell(visit: Visit, tap: Entry, devices: dict[str, str]) -> str:
    words = visit.words
    meter = current(tap.body["meters"], visit.hub.clock_ms())
    if meter is None:
        told = words("no_meter")
    else:
        name = devices.get(meter["device"], meter["device"])
        told = f"{name}, {words('pin')} {meter['pin']}, {meter['kind']}"
    return f"{told} · {tap.body.get('sensor') or words('no_temperature')}"


def _read_choices(connection: Connection, now_ms: int) -> tuple[dict[str, str], list[str]]:
    return read_devices(connection), readings.read_sensors(connection, now_ms)
