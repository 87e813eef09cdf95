"""Temperatures by days: what is planned, where it runs, what was read there; to be made and changed while it runs."""

from typing import Any, Literal

from fastapi import Request
from nicegui import ui
from pydantic import ValidationError
from sqlalchemy import Connection

from kegnet_client.hub.dashboard import figures, profile_chart, profile_runs, profile_state
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.draft import Draft
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.dashboard.old import set_old
from kegnet_client.hub.dashboard.profile_editor import TYPES, Editor
from kegnet_client.hub.dashboard.profile_state import Detail, ProfileState
from kegnet_client.hub.domain.profiles import Progress, Run, length_days
from kegnet_client.hub.store import bodies, house, runs
from kegnet_client.hub.store.entries import Entry

CHANNELS = ("profiles", "runs", "temperatures", "controllers", "taps", "data")
PAUSE_S = 1.0
"""Temperatures come often, and change slowly."""
STALE_MS = 15 * 60_000


async def page(hub: Hub, request: Request) -> None:
    """Show all of them, and the one that the query names in detail."""
    visit = await Visit.begin(hub, request)
    asked = request.query_params.get("profile", "")
    chosen = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else None
    with frame(visit, "profiles"), ui.element("div").classes("grid gap-4 lg:grid-cols-[20rem_1fr] items-start"):
        found = _List(visit, chosen)
        with ui.column().classes("w-full min-w-0 gap-4"):
            detail = None if chosen is None else _Detail(visit, chosen)

    async def refresh() -> None:
        now_ms = hub.clock_ms()
        run = detail.run if detail is not None else None
        state = await hub.read(lambda connection: profile_state.read(connection, chosen, run, now_ms))
        found.show(state, now_ms)
        if detail is not None:
            detail.show(state, now_ms)

    if detail is not None:
        detail.on_run(refresh)
    await refresh()
    visit.follow(CHANNELS, refresh, PAUSE_S)


def tell_progress(visit: Visit, progress: Progress) -> str:
    """How far a run is, such as "day 5.2 of 21"."""
    unit = "hours" if progress.parts > 1 else "days"
    count = _number(visit, f"{abs(progress.days) * progress.parts:.1f}")
    length = _number(visit, f"{progress.length_days * progress.parts:.3g}")
    if progress.days < 0:
        return visit.words(f"starts_in_{unit}", count=count)
    if progress.length_days == 0:
        return visit.words("runs_for_days", count=count)
    if progress.is_over:
        return visit.words(f"over_since_{unit}", length=length)
    return visit.words(f"runs_{unit}", count=count, length=length)


def _number(visit: Visit, text: str) -> str:
    return figures.decimal(text, visit.settings.language)


class _List:
    """All profiles, each with where it runs."""

    def __init__(self, visit: Visit, chosen: int | None) -> None:
        self._visit = visit
        self._chosen = chosen
        self._shown: list[Any] = []
        words = visit.words
        with ui.column().classes("w-full gap-2" + ("" if chosen is None else " max-lg:hidden")):
            if visit.may_operate:
                ui.button(words("new_profile"), icon="add", on_click=self._open_new).props("no-caps")
            self._rows = ui.column().classes("w-full gap-2")
        if chosen is not None:
            ui.link(f"← {words('profiles')}", "/profiles").classes("lg:hidden")

    def show(self, state: ProfileState, now_ms: int) -> None:
        """Show them, if they are others than before."""
        rows = [(one.subject, one.body["name"], self._tell(state, one, now_ms)) for one in state.profiles]
        if self._shown == [rows]:
            return
        self._shown = [rows]
        self._rows.clear()
        with self._rows:
            if not rows:
                ui.label(self._visit.words("no_profiles")).classes("text-xl")
            for number, name, lines in rows:
                self._show_one(number, name, lines)

    def _show_one(self, number: int, name: str, lines: list[str]) -> None:
        link = ui.link(target=f"/profiles?profile={number}").classes("w-full no-underline text-inherit")
        with link, ui.card().classes("w-full gap-0 p-3"):
            ui.label(name).classes("text-lg font-bold break-words max-w-full")
            for line in lines:
                ui.label(line).classes("break-words max-w-full")
        if number == self._chosen:
            link.classes("outline outline-2 rounded").props('aria-current="true"')

    def _tell(self, state: ProfileState, entry: Entry, now_ms: int) -> list[str]:
        words, draft = self._visit.words, Draft.of(entry.body)
        length = length_days(draft.whole_points()) * draft.parts
        unit = "hours" if draft.parts > 1 else "days"
        about = [words(f"type_{draft.type.lower()}")] if draft.type else []
        about += [words(unit, count=f"{length:.3g}")] if length else []
        lines = [" · ".join(about)] if about else []
        for one in state.runs_of(entry.subject):
            run = Run(one.body["started_ms"], [runs.to_version(entry)])
            lines.append(f"{state.place(one)}: {tell_progress(self._visit, run.progress(now_ms))}")
        return lines

    def _open_new(self) -> None:
        visit, words = self._visit, self._visit.words
        with ui.dialog() as dialog, ui.card().classes("w-full max-w-md"):
            ui.label(words("new_profile")).classes("text-xl")
            name = ui.input(words("name")).props("autofocus maxlength=100").classes("w-full")
            types = {one: words(f"type_{one.lower() or 'none'}") for one in TYPES}
            kind = ui.select(types, value=TYPES[0], label=words("type")).classes("w-full")

            async def save() -> None:
                unit: Literal["C", "F"] = "F" if visit.settings.units == "us" else "C"
                try:
                    body = bodies.Profile.model_validate({"name": name.value, "type": kind.value, "unit": unit})
                except ValidationError as error:
                    visit.tell_wrong(error)
                    return
                entry = await visit.say("profile", None, body)
                if entry is not None:
                    ui.navigate.to(f"/profiles?profile={entry.subject}")

            with ui.row():
                ui.button(words("save"), on_click=save)
                ui.button(words("cancel"), on_click=dialog.close).props("flat")
        dialog.open()


class _Detail:
    """One profile: where it is, its chart, its table, its history."""

    def __init__(self, visit: Visit, number: int) -> None:
        self._visit = visit
        self._number = number
        self._state: ProfileState | None = None
        self._editor: Editor | None = None
        self._is_telling = False
        words = visit.words
        self._gone = ui.label(words("no_such_profile")).classes("text-xl")
        self._gone.set_visibility(False)
        with ui.column().classes("w-full gap-4") as self._all:
            with ui.card().classes("w-full"):
                self._name = ui.label().classes("text-2xl font-bold break-words max-w-full")
                self._run_select = ui.select({}, label=words("run")).classes("w-full max-w-lg")
                self._progress = ui.label().classes("text-2xl md:text-3xl 2xl:text-5xl")
                with ui.row().classes("gap-x-8 gap-y-1"):
                    self._wanted = ui.label().classes("text-lg 2xl:text-3xl")
                    self._read = ui.label().classes("text-lg 2xl:text-3xl")
                self._chart = ui.echart({}).classes("w-full h-[45vh] min-h-[260px]")
                if visit.may_operate:
                    with ui.row().classes("gap-2"):
                        ui.button(words("start_run"), icon="play_arrow", on_click=self._start).props("no-caps")
                        self._stop_button = ui.button(words("stop"), icon="stop", on_click=self._stop)
                        self._stop_button.props("no-caps outline")
                        self._remove_button = ui.button(words("remove"), icon="delete", on_click=self._remove)
                        self._remove_button.props("no-caps flat")
            with ui.card().classes("w-full"):
                self._table = ui.column().classes("w-full")
            columns = [
                {"name": name, "label": words(name), "field": name, "align": "left"} for name in ("when", "who", "what")
            ]
            with ui.card().classes("w-full"):
                ui.label(words("history")).classes("text-xl")
                self._history = ui.table(columns=columns, rows=[], row_key="id").classes("w-full")
                self._history.props("flat dense wrap-cells")

    @property
    def run(self) -> int | None:
        """The run that is looked at; None for the newest."""
        number: int | None = self._run_select.value
        return number

    def on_run(self, refresh: Any) -> None:
        """Call ``refresh`` when somebody looks at another run."""
        self._run_select.on_value_change(lambda: None if self._is_telling else refresh())

    def show(self, state: ProfileState, now_ms: int) -> None:
        """Show what holds."""
        detail = state.detail
        self._state = state
        self._gone.set_visibility(detail is None)
        self._all.set_visibility(detail is not None)
        if detail is None:
            return
        run, entry = detail.run_entry, detail.entry
        self._name.text = entry.body["name"]
        self._show_runs(state, detail)
        self._show_progress(detail, now_ms)
        if self._visit.may_operate:
            self._stop_button.set_visibility(run is not None and run.body.get("ended_ms") is None)
            self._remove_button.set_visibility(not state.runs_of(self._number))
        self._show_table(detail)
        self._draw_chart(now_ms)
        rows = [_row(self._visit, one) for one in detail.history[: -profile_state.MAX_VERSIONS - 1 : -1]]
        if rows != self._history.rows:
            self._history.rows = rows
            self._history.update()

    def _show_runs(self, state: ProfileState, detail: Detail) -> None:
        names = {one.subject: self._name_run(state, one) for one in detail.run_entries}
        self._run_select.set_visibility(bool(names))
        value = detail.run_entry.subject if detail.run_entry is not None else None
        if names != self._run_select.options or value != self._run_select.value:
            self._is_telling = True
            self._run_select.set_options(names, value=value)
            self._is_telling = False

    def _name_run(self, state: ProfileState, run: Entry) -> str:
        ended_ms = run.body.get("ended_ms")
        zone = self._visit.settings.timezone
        started = figures.moment(run.body["started_ms"], zone)[:-3]
        if ended_ms is None:
            return f"{state.place(run)}, {self._visit.words('since_when', when=started)}"
        return f"{state.place(run)}, {started} - {figures.moment(ended_ms, zone)[:-3]}"

    def _show_progress(self, detail: Detail, now_ms: int) -> None:
        visit, words = self._visit, self._visit.words
        run, entry = detail.run, detail.run_entry
        is_running = run is not None and entry is not None and entry.body.get("ended_ms") is None
        self._wanted.set_visibility(is_running)
        self._read.set_visibility(is_running)
        if run is None or entry is None:
            self._progress.text = words("runs_nowhere")
            return
        if not is_running:
            self._progress.text = words("was_stopped", who=entry.said_by)
            return
        self._progress.text = tell_progress(visit, run.progress(now_ms))
        wanted = run.set_point(now_ms)
        shown = "-" if wanted is None else figures.temperature(wanted, visit.settings)
        self._wanted.text = f"{words('set_point')}: {shown}"
        if detail.last is None:
            self._read.text = words("no_temperature")
            return
        at_ms, value = detail.last
        ago = words.ago(now_ms - at_ms)
        is_stale = now_ms - at_ms > STALE_MS
        age = words("stale", ago=ago) if is_stale else ago
        shown = figures.temperature(value, visit.settings)
        self._read.text = f"{words('reading')}: {shown} · {age}"
        set_old(self._read, is_stale)

    def _show_table(self, detail: Detail) -> None:
        started_ms = None
        if detail.run_entry is not None and detail.run_entry.body.get("ended_ms") is None:
            started_ms = detail.run_entry.body["started_ms"]
        if self._visit.may_operate:
            if self._editor is None:
                with self._table:
                    self._editor = Editor(self._visit, detail.entry, lambda: self._draw_chart())
            self._editor.show(detail.entry, started_ms)
            return
        lines = _tell_body(self._visit, detail.entry)
        self._table.clear()
        with self._table:
            for line in lines:
                ui.label(line)

    def _draw_chart(self, now_ms: int | None = None) -> None:
        if self._state is None or self._state.detail is None:
            return
        detail = self._state.detail
        draft = self._editor.draft if self._editor is not None else Draft.of(detail.entry.body)
        now_ms = self._visit.hub.clock_ms() if now_ms is None else now_ms
        options = profile_chart.options(self._visit, detail, draft, now_ms)
        if options != self._chart.options:
            self._chart.options.clear()
            self._chart.options.update(options)
            self._chart.update()

    def _start(self) -> None:
        if self._state is not None:
            profile_runs.open_start(self._visit, self._state, self._number)

    def _stop(self) -> None:
        if self._state is not None and self._state.detail is not None and self._state.detail.run_entry is not None:
            run = self._state.detail.run_entry
            profile_runs.open_stop(self._visit, run, self._state.place(run))

    async def _remove(self) -> None:
        if self._state is None or self._state.detail is None:
            return
        entry, who, now_ms = self._state.detail.entry, self._visit.who.name, self._visit.hub.clock_ms()

        def work(connection: Connection) -> None:
            body = bodies.Profile.model_validate({**entry.body, "ended_ms": now_ms})
            house.say(connection, "profile", entry.subject, body, who, now_ms, entry.id)

        if await self._visit.do(work):
            ui.navigate.to("/profiles")


def _row(visit: Visit, entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "when": figures.moment(entry.recorded_ms, visit.settings.timezone),
        "who": entry.said_by,
        "what": " · ".join(_tell_body(visit, entry)),
    }


def _tell_body(visit: Visit, entry: Entry) -> list[str]:
    """What ``entry`` says, a line each for its name, its temperatures and its events."""
    words, draft = visit.words, Draft.of(entry.body)
    unit = "hour" if draft.parts > 1 else "day"
    lines = [draft.name]
    points = [
        f"{_number(visit, f'{days * draft.parts:.4g}')}: {_number(visit, f'{wanted:g}')} °{draft.unit}"
        for days, wanted in draft.whole_points()
    ]
    if points:
        lines.append(f"{words(unit)} {('; ' if words.language == 'de' else ', ').join(points)}")
    lines += [
        f"{words(unit)} {_number(visit, f'{days * draft.parts:.4g}')}: {text}" for days, text in draft.whole_events()
    ]
    return lines
