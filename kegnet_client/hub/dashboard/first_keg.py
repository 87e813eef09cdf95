"""The last step of the first run: which meter counts at the first tap, and the keg that runs there."""

from nicegui import ui
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.domain import meters
from kegnet_client.hub.store import bodies, calibrating, first_run, schema

_WIDE = "w-full max-w-md"


class FirstKeg:
    """The fields; whatever runs through a meter meanwhile tells which one it is."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._newest = 0
        self._devices: dict[str, str] = {}
        words, self._is_us = visit.words, visit.settings.units == "us"
        self._tap = ui.input(words("tap_name"), value=words("first_tap")).props("maxlength=100").classes(_WIDE)
        ui.label(words("meter_hint"))
        self._seen = ui.label().classes("font-bold").props('role="status"')
        self._device = ui.select({}, label=words("device")).classes(_WIDE)
        self._pin = ui.number(words("pin"), value=0, min=0, max=255, precision=0).classes(_WIDE)
        self._kind = ui.select(list(meters.DEFAULTS), value="SF800", label=words("meter_kind")).classes(_WIDE)
        self._sensor = ui.select([], label=words("sensor"), clearable=True).classes(_WIDE)
        self._beverage = ui.input(words("beverage")).props("maxlength=100").classes(_WIDE)
        self._size = ui.number(
            words("size_gallons" if self._is_us else "size"), value=5 if self._is_us else 20, min=0.1, max=1000
        ).classes(_WIDE)
        self._start = ui.number(words("in_it_gallons" if self._is_us else "in_it"), min=0, max=1000).classes(_WIDE)
        ui.button(words("tap_first"), on_click=self._save).props("no-caps")

    async def begin(self) -> None:
        """Offer what there is, and listen for a pour."""
        visit = self._visit
        self._newest, sensors = await visit.hub.read(_read)
        found = await run_in_threadpool(visit.hub.store.devices)
        self._devices = {one.uuid: one.name for one in found if one.revoked_ms is None}
        self._device.set_options(self._devices, value=next(reversed(self._devices), None))
        self._sensor.set_options(sensors, value=sensors[0] if sensors else None)
        self._sensor.set_visibility(bool(sensors))
        visit.follow(("pours",), self._look)

    async def _look(self) -> None:
        table = schema.pours.c
        after = self._newest

        def read(connection: Connection) -> tuple[int, str, int, int] | None:
            statement = select(table.id, table.device, table.pin, table.pulses).where(table.id > after)
            row = connection.execute(statement.order_by(table.id.desc()).limit(1)).first()
            return None if row is None else (row.id, row.device, row.pin, row.pulses)

        found = await self._visit.hub.read(read)
        if found is None:
            return
        self._newest, device, pin, pulses = found
        if device in self._devices:
            self._device.value, self._pin.value = device, pin
            self._seen.text = self._visit.words("meter_seen", pulses=pulses, of=self._devices[device], pin=pin)

    async def _save(self) -> None:
        visit, device = self._visit, self._device.value
        now_ms = visit.hub.clock_ms()

        def work(connection: Connection) -> None:
            meter = {"device": device, "pin": int(self._pin.value or 0), "kind": self._kind.value}
            tap = bodies.Tap.model_validate(
                {
                    "name": self._tap.value or "",
                    "meters": [] if device is None else [meter],
                    "sensor": self._sensor.value or None,
                }
            )
            beverage = bodies.Beverage.model_validate({"name": self._beverage.value or ""})
            ml = figures.ML_PER_GALLON if self._is_us else 1000
            size_ml = (self._size.value or 0) * ml
            start_ml = None if self._start.value is None else self._start.value * ml
            first_run.tap_first_keg(connection, tap, beverage, size_ml, visit.who.name, now_ms, start_ml=start_ml)

        if await visit.do(work):
            ui.navigate.to("/taps")


def _read(connection: Connection) -> tuple[int, list[str]]:
    """The newest pour, and the thermometers that were ever heard of."""
    sensors = select(schema.readings_by_hour.c.sensor).where(schema.readings_by_hour.c.sensor != "").distinct()
    return calibrating.read_newest(connection), sorted(connection.scalars(sensors))
