"""The card of limits: beyond which an alarm is raised, for everything, or for one thermometer, device, keg or meter."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from nicegui import ui
from pydantic import ValidationError
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import limit_units
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.names import read_devices, read_names
from kegnet_client.hub.domain import rules
from kegnet_client.hub.store import bodies, entries, readings
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.hearing import read_meters

ALL = "all"
_OF = {
    "sensor": {
        "off_profile_millidegrees",
        "lowest_millidegrees",
        "highest_millidegrees",
        "off_for_ms",
        "sensor_silent_ms",
    },
    "device": {"device_silent_ms", "refused_per_hour"},
    "keg": {"keg_below_percent"},
    "meter": {"longest_pour_ms", "fastest_pour_nl_per_s", "drips_nl_per_hour"},
}
"""The limits that a thing of this kind can have; all of them where it is everything."""
_ALWAYS = {"off_for_ms"}
"""No alarm of its own: it cannot be off."""


@dataclass(slots=True)
class _Field:
    value: ui.number
    is_on: ui.switch | None


class Limits:
    """The card; `refresh` shows what holds."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._said: Entry | None = None
        self._usual: dict[str, int | None] = {}
        self._fields: dict[str, _Field] = {}
        words = visit.words
        with ui.card().classes("w-full"):
            ui.label(words("limits")).classes("text-xl")
            ui.label(words("limits_hint")).classes("text-sm opacity-70")
            self._subject = ui.select({ALL: words("limits_of_all")}, value=ALL, label=words("limits_of"))
            self._subject.classes("w-full").on_value_change(self._show)
            self._list = ui.column().classes("w-full gap-1")
            ui.button(words("save"), on_click=self._save).props("no-caps")

    async def refresh(self) -> None:
        """Show what holds of what is chosen."""
        names = await self._visit.hub.read(lambda connection: _read_subjects(self._visit, connection))
        if names != self._subject.options:
            self._subject.set_options(names, value=self._subject.value if self._subject.value in names else ALL)
        await self._show()

    async def _show(self) -> None:
        visit, subject = self._visit, str(self._subject.value)
        said = await visit.hub.read(lambda connection: entries.read_open(connection, "rule"))
        self._said = next((one for one in reversed(said) if one.body["subject"] == subject), None)
        own = {} if self._said is None else self._said.body["limits"]
        self._usual = asdict(_usual(said, subject))
        self._fields.clear()
        self._list.clear()
        with self._list:
            for name in limit_units.NAMES:
                if subject == ALL or name in _OF[subject.partition(" ")[0]]:
                    self._fields[name] = self._field(name, own, self._usual[name])

    def _field(self, name: str, own: dict[str, int | None], usual: int | None) -> _Field:
        words, units = self._visit.words, self._visit.settings.units
        label = words(name, unit=limit_units.unit(name, units))
        with ui.row().classes("w-full items-center no-wrap gap-2"):
            switch = None
            if name not in _ALWAYS:
                switch = ui.switch(value=own.get(name, usual) is not None)
                switch.props["aria-label"] = words("raise_alarm", what=label)
            else:
                ui.element("div").classes("w-[56px] shrink-0")  # as wide as a switch
            kept = own.get(name)
            number = ui.number(label, value=None if kept is None else limit_units.to_typed(name, kept, units))
            number.classes("grow")
            if usual is not None:
                number.props["placeholder"] = f"{limit_units.to_typed(name, usual, units):g}"
                number.props("stack-label")
            if switch is not None:
                number.bind_enabled_from(switch, "value")
        return _Field(number, switch)

    async def _save(self) -> None:
        visit, seen = self._visit, self._said
        typed = {
            name: (field.is_on is None or bool(field.is_on.value), field.value.value)
            for name, field in self._fields.items()
        }
        limits = limit_units.to_own(typed, self._usual, visit.settings.units)
        if seen is None and not limits:
            return
        try:
            ended_ms = None if limits else visit.hub.clock_ms()
            body = bodies.Rule(subject=str(self._subject.value), limits=limits, ended_ms=ended_ms)
        except ValidationError as error:
            visit.tell_wrong(error)
            return
        number, seen_id = (None, None) if seen is None else (seen.subject, seen.id)
        if await visit.say("rule", number, body, seen_id):
            await self._show()


def _usual(said: Sequence[Entry], subject: str) -> rules.Rules:
    """What holds where ``subject`` has no limits of its own."""
    usual = rules.DEFAULT
    for one in said:
        if subject != ALL and one.body["subject"] == ALL:
            usual = usual.with_own(one.body["limits"])
    return usual


def _read_subjects(visit: Visit, connection: Connection) -> dict[str, str]:
    """All that may have limits of its own."""
    words, names, now_ms = visit.words, read_names(connection), visit.hub.clock_ms()
    taps = {
        one.body["sensor"]: one.body["name"] for one in entries.read_open(connection, "tap") if one.body.get("sensor")
    }
    found = {ALL: words("limits_of_all")}
    for sensor in sorted({*readings.read_sensors(connection, now_ms), *taps}):
        found[f"sensor {sensor}"] = f"{words('sensor')} {taps.get(sensor, '')} {sensor}".replace("  ", " ")
    for uuid, name in read_devices(connection).items():
        found[f"device {uuid}"] = f"{words('device')} {name}"
    for keg in entries.read_open(connection, "keg"):
        found[f"keg {keg.subject}"] = words("limits_of_keg", of=names.get(("keg", keg.subject), ""))
    for one in read_meters(connection, now_ms).values():
        uuid, pin = one.meter
        found[f"meter {uuid} {pin}"] = words("limits_of_meter", of=one.name)
    return found
