"""Calibrating a meter by a measured pour: pour into a jug, say what the jug shows, see what that changes, accept it.

Where it stands is in the page's address, so that it goes on there after a reload or on another screen.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui
from pydantic import ValidationError
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import figures, names
from kegnet_client.hub.dashboard.calibrations import Calibrations, figure
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.domain import meters
from kegnet_client.hub.store import bodies, calibrating, entries, tapping
from kegnet_client.hub.store.hearing import TapMeter, read_meters

CHANNELS = ("pours", "adjustments", "calibrations", "taps", "kegs", "beverages")
FAR_PERCENT = 30
SLACK_MS = 60_000
"""A device's clock may be so far behind: what is older was poured before, and only sent now."""
_WIDE = "w-full max-w-xs"


@dataclass(frozen=True, slots=True)
class _Begun:
    """At which tap somebody began when, by the hub's clock; ``after`` is the newest pour of then."""

    tap: int | None
    after: int | None
    since_ms: int

    @classmethod
    def of(cls, request: Request) -> "_Begun":
        """What the page's address says; what is no number is left out."""
        asked = {name: int(text) for name, text in request.query_params.items() if text.isdecimal() and len(text) < 16}
        return cls(asked.get("tap"), asked.get("after"), asked.get("since_ms", 0))


async def page(hub: Hub, request: Request) -> None:
    """Lead through it; who may not operate sees how the meters are calibrated."""
    visit = await Visit.begin(hub, request)
    words = visit.words
    begun = _Begun.of(request)
    read = await hub.read(lambda connection: read_meters(connection, hub.clock_ms()))
    found = list(read.values())
    chosen = next((one for one in found if one.tap == begun.tap), found[0] if found else None)
    with frame(visit, "calibrate"):
        ui.label(words("calibrate_what")).classes("text-2xl")
        if chosen is None:
            ui.label(words("no_meters")).classes("text-xl")
            return
        taps = ui.select({one.tap: one.name for one in found}, value=chosen.tap, label=words("meter_at"))
        taps.classes(_WIDE).on_value_change(lambda event: ui.navigate.to(f"/calibrate?tap={event.value}"))
        with ui.element("div").classes("grid gap-4 md:grid-cols-2 items-start mt-2"):
            measuring = _Measuring(visit, chosen, begun) if visit.may_operate else None
            history = Calibrations(visit, chosen.meter)

    async def refresh() -> None:
        await history.refresh()
        if measuring is not None:
            await measuring.refresh()

    await refresh()
    visit.follow(CHANNELS, refresh)


class _Measuring:
    """The three steps: the pour, what the jug says, and the new figure with what it changes."""

    def __init__(self, visit: Visit, at: TapMeter, begun: _Begun) -> None:
        self._visit, self._at, self._begun = visit, at, begun
        self._counted: dict[int, tuple[calibrating.Counted, ui.checkbox]] = {}
        self._value: int | None = None
        self._is_filled = False
        words, is_us = visit.words, visit.settings.units == "us"
        with ui.column().classes("gap-4 w-full"):
            with ui.card().classes("w-full"):
                ui.label(words("jug_pour")).classes("text-xl")
                self._now = ui.label()
                self._pours = ui.column().classes("gap-0")
                with self._pours:
                    self._hint = ui.label(words("jug_hint" if begun.after is None else "jug_waiting"))
                ui.button(words("jug_start" if begun.after is None else "jug_again"), on_click=self._start).props(
                    "no-caps" if begun.after is None else "flat dense no-caps"
                )
            self._jug = ui.card().classes("w-full")
            with self._jug:
                ui.label(words("jug_says")).classes("text-xl")
                ways = {"volume": words("by_volume"), "weight": words("by_weight")}
                self._way = ui.radio(ways, value="volume", on_change=self.refresh).props("inline")
                self._volume = ui.number(words("jug_oz" if is_us else "jug_ml"), min=1, on_change=self.refresh)
                self._volume.props("debounce=300").classes(_WIDE).bind_visibility_from(
                    self._way, "value", value="volume"
                )
                with ui.row().classes("w-full").bind_visibility_from(self._way, "value", value="weight"):
                    self._grams = ui.number(words("jug_grams"), min=1, on_change=self.refresh).classes(_WIDE)
                    self._grams.props("debounce=300")
                    self._gravity = ui.number(
                        words("gravity"),
                        value=meters.USUAL_GRAVITY,
                        min=meters.MIN_GRAVITY,
                        max=meters.MAX_GRAVITY,
                        step=0.001,
                        format="%.3f",
                        on_change=self.refresh,
                    ).classes(_WIDE)
            self._result = ui.card().classes("w-full")
            with self._result:
                ui.label(words("new_figure")).classes("text-xl")
                self._new = ui.label().classes("text-lg font-bold")
                self._far = ui.label(words("figure_far")).classes("text-negative").props('role="status"')
                ui.label(words("holds_from"))
                froms = {"pour": words("from_pour"), "date": words("from_date")}
                self._from = ui.radio(froms, value="pour", on_change=self.refresh).props("inline")
                self._date = ui.input(words("the_date"), on_change=self.refresh).props('type="datetime-local"')
                self._date.classes(_WIDE).bind_visibility_from(self._from, "value", value="date")
                self._kegs = _changes(visit, "poured_from")
                self._nothing = ui.label(words("no_change"))
                ui.label(words("last_pours"))
                self._last = _changes(visit, "when")
                ui.button(words("accept"), on_click=self._accept).props("no-caps")

    async def _start(self) -> None:
        newest = await self._visit.hub.read(calibrating.read_newest)
        since = {"tap": self._at.tap, "after": newest, "since_ms": self._visit.hub.clock_ms()}
        ui.navigate.to(f"/calibrate?{urlencode(since)}")

    async def refresh(self) -> None:
        """Show what has arrived, and what follows from it and from what was typed."""
        visit, words, after = self._visit, self._visit.words, self._begun.after
        if not self._is_filled:
            self._is_filled = True
            gravity, since_ms = await visit.hub.read(self._read_keg)
            self._gravity.value = gravity
            self._date.value = figures.local_time(since_ms, visit.settings.timezone)
        now_ms = visit.hub.clock_ms()
        self._value = await visit.hub.read(lambda one: calibrating.read_value(one, self._at.meter, now_ms))
        value = self._value
        self._now.text = words("figure_none") if value is None else words("figure_now", figure=figure(visit, value))
        if after is not None:
            counted = await visit.hub.read(lambda one: calibrating.read_counted(one, self._at.meter, after))
            self._hint.set_visibility(not counted)
            with self._pours:
                for one in counted:
                    if one.id not in self._counted:
                        self._counted[one.id] = (one, self._checkbox(one))
        calibration = self._calibration()
        self._jug.set_visibility(bool(self._counted))
        self._result.set_visibility(calibration is not None)
        if calibration is not None and calibration.nanolitres_per_pulse is not None:
            await self._show_result(calibration.nanolitres_per_pulse, calibration.from_ms)

    def _checkbox(self, one: calibrating.Counted) -> ui.checkbox:
        visit = self._visit
        text = visit.words(
            "jug_count",
            when=figures.moment(one.started_ms, visit.settings.timezone),
            pulses=one.pulses,
            volume=figures.small_volume(one.pulses * (self._value or 0) / 1e6, visit.settings),
        )
        is_of_now = one.started_ms >= self._begun.since_ms - SLACK_MS
        return ui.checkbox(text, value=is_of_now, on_change=self.refresh)

    def _read_keg(self, connection: Connection) -> tuple[float, int]:
        """The specific gravity of what runs there, and since when it does."""
        now_ms = self._visit.hub.clock_ms()
        keg = tapping.read_running(connection, now_ms).get(self._at.tap)
        if keg is None:
            return meters.USUAL_GRAVITY, now_ms
        beverage = entries.read_one(connection, "beverage", keg.body.get("beverage") or 0)
        gravity = None if beverage is None else beverage.body.get("specific_gravity")
        since_ms = max(one["from_ms"] for one in keg.body["taps"] if one["tap"] == self._at.tap)
        return gravity or meters.USUAL_GRAVITY, since_ms

    def _calibration(self) -> bodies.Calibration | None:
        """What was measured, if that is told already and can be."""
        chosen = [one for one, checkbox in self._counted.values() if checkbox.value]
        is_weight = self._way.value == "weight"
        amount = self._grams.value if is_weight else self._volume.value
        if not chosen or not amount:
            return None
        if not is_weight and self._visit.settings.units == "us":
            amount *= figures.ML_PER_OUNCE
        device, pin = self._at.meter
        from_ms = min(one.started_ms for one in chosen)
        try:
            if self._from.value == "date":
                from_ms = figures.unix_ms(self._date.value or "", self._visit.settings.timezone)
            measured = {"weight_g": amount, "specific_gravity": self._gravity.value} if is_weight else {}
            return bodies.Calibration.model_validate(
                {
                    "device": device,
                    "pin": pin,
                    "from_ms": from_ms,
                    "pulses": sum(one.pulses for one in chosen),
                    **(measured or {"volume_ml": amount}),
                }
            )
        except (ValidationError, ValueError):  # what is still being typed
            return None

    async def _show_result(self, new: int, from_ms: int) -> None:
        visit, words, value = self._visit, self._visit.words, self._value
        percent = "" if value is None else figures.change(value, new, visit.settings.language)
        self._new.text = words("figure_new", figure=figure(visit, new), change=percent).rstrip(", ")
        self._far.set_visibility(value is not None and abs(new - value) * 100 > FAR_PERCENT * value)
        effect, called = await visit.hub.read(
            lambda one: (calibrating.read_effect(one, self._at.meter, new, from_ms), names.read_names(one))
        )
        style, zone = visit.settings, visit.settings.timezone
        self._kegs.rows = [
            {
                "id": keg or 0,
                "what": called.get(("keg", keg or 0), words("no_keg")),
                "before": figures.volume((change.before_nl or 0) / 1e6, style),
                "after": figures.volume(change.after_nl / 1e6, style),
            }
            for keg, change in effect.kegs.items()
        ]
        self._last.rows = [
            {
                "id": one.id,
                "what": figures.moment(one.started_ms, zone),
                "before": "-" if change.before_nl is None else figures.small_volume(change.before_nl / 1e6, style),
                "after": figures.small_volume(change.after_nl / 1e6, style),
            }
            for one, change in effect.pours
        ]
        self._kegs.set_visibility(bool(effect.kegs))
        self._nothing.set_visibility(not effect.kegs)

    async def _accept(self) -> None:
        calibration = self._calibration()
        if calibration is not None and await self._visit.say("calibration", None, calibration):
            ui.navigate.to(f"/calibrate?tap={self._at.tap}")


def _changes(visit: Visit, what: str) -> ui.table:
    """A table of volumes before and after."""
    columns = [
        {"name": name, "label": visit.words(label), "field": name, "align": align}
        for name, label, align in (("what", what, "left"), ("before", "before", "right"), ("after", "after", "right"))
    ]
    return ui.table(columns=columns, rows=[], row_key="id").classes("w-full").props("flat dense wrap-cells")
