"""The table in which a profile is typed. What somebody else says meanwhile is told, and overwritten by nobody."""

from collections.abc import Callable
from typing import Any

from nicegui import ui
from pydantic import ValidationError

from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.draft import Draft, EventRow, IncompleteError, PointRow
from kegnet_client.hub.domain.profiles import DAY_MS
from kegnet_client.hub.store import bodies
from kegnet_client.hub.store.entries import Entry

TYPES = ("Fermentation", "Mash", "Serving", "")
MAX_ROWS = 200
_SIDE = "flat dense round size=sm"


class Editor:
    """The table of one profile; ``on_type`` is called after whatever changes the draft."""

    def __init__(self, visit: Visit, entry: Entry, on_type: Callable[[], None]) -> None:
        self.draft = Draft.of(entry.body)
        self._visit = visit
        self._seen = entry
        self._newest = entry
        self._on_type = on_type
        self._started_ms: int | None = None
        self._dates: list[tuple[ui.label, Callable[[], float | None]]] = []
        self._build()

    def show(self, entry: Entry, started_ms: int | None) -> None:
        """Show what ``entry`` says, unless something is typed: then tell that it was said."""
        if started_ms != self._started_ms:
            self._started_ms = started_ms
            self._show_dates()
        if entry.id == self._newest.id:
            return
        self._newest = entry
        if self.draft.is_changed and entry.id != self._seen.id:
            at = figures.moment(entry.recorded_ms, self._visit.settings.timezone)
            self._told.text = self._visit.words("changed_by", who=entry.said_by, at=at)
            self._notice.set_visibility(True)
        else:
            self._load()

    def _build(self) -> None:
        words = self._visit.words
        with ui.row().classes("w-full items-center gap-2 p-2 rounded bg-amber-200 text-black") as self._notice:
            self._notice.props('role="alert"')
            self._told = ui.label().classes("grow basis-60")
            ui.button(words("take_theirs"), on_click=self._load).props("no-caps outline color=black")
        self._notice.set_visibility(False)
        with ui.row().classes("w-full gap-2"):
            self._name = ui.input(words("name"), on_change=self._type_head).props("maxlength=100")
            self._name.classes("grow basis-52")
            types = {one: words(f"type_{one.lower() or 'none'}") for one in TYPES}
            self._type = ui.select(types, value="", label=words("type"), on_change=self._type_head)
            self._type.classes("w-44")
        self._head = ui.label().classes("text-lg font-bold mt-2")
        self._points = ui.column().classes("w-full gap-1")
        ui.button(words("add_point"), icon="add", on_click=self._add_point).props("flat dense no-caps")
        ui.label(words("things_to_do")).classes("text-lg font-bold mt-2")
        self._events = ui.column().classes("w-full gap-1")
        ui.button(words("add_event"), icon="add", on_click=self._add_event).props("flat dense no-caps")
        with ui.row().classes("w-full gap-2 mt-2 items-center"):
            self._save_button = ui.button(words("save"), on_click=self._save)
            self._discard_button = ui.button(words("discard"), on_click=self._load).props("flat no-caps")
        self._load()

    def _load(self) -> None:
        """Show what holds, and forget what was typed."""
        self._seen = self._newest
        self.draft = Draft.of(self._seen.body)
        self._notice.set_visibility(False)
        self._name.value, self._type.value = self.draft.name, self.draft.type
        self._draw()

    def _draw(self) -> None:
        words, draft = self._visit.words, self.draft
        in_hours = draft.parts > 1
        self._head.text = words("points_by_hours" if in_hours else "points_by_days", unit=f"°{draft.unit}")
        self._dates = []
        self._points.clear()
        with self._points:
            for number in range(len(draft.points)):
                self._draw_point(number)
        self._events.clear()
        with self._events:
            for number in range(len(draft.events)):
                self._draw_event(number)
        self._show_dates()
        self._typed()

    def _draw_point(self, number: int) -> None:
        words, row = self._visit.words, self.draft.points[number]

        def set_temperature(event: Any) -> None:
            row.temperature = event.value
            self._typed()

        def insert() -> None:
            self.draft.insert_point(number)
            self._draw()

        def remove() -> None:
            del self.draft.points[number]
            self._draw()

        with ui.row().classes("w-full max-w-3xl items-center gap-2 no-wrap"):
            self._draw_time(row, number)
            field = ui.number(value=row.temperature, min=-100, max=300, suffix=f"°{self.draft.unit}")
            field.on_value_change(set_temperature)
            field.props(f'dense outlined aria-label="{words("temperature_of_row", number=number + 1)}"')
            field.classes("w-28 shrink")
            self._draw_date(row)
            tip = words("insert_above")
            ui.button(icon="playlist_add", on_click=insert).props(f'{_SIDE} aria-label="{tip}"').tooltip(tip)
            self._draw_remove(remove)

    def _draw_event(self, number: int) -> None:
        words, row = self._visit.words, self.draft.events[number]

        def set_text(event: Any) -> None:
            row.text = event.value or ""
            self._typed()

        def remove() -> None:
            del self.draft.events[number]
            self._draw()

        with ui.row().classes("w-full max-w-3xl items-center gap-2 no-wrap"):
            self._draw_time(row, number)
            field = ui.input(value=row.text, on_change=set_text)
            field.props(f'dense outlined maxlength=500 aria-label="{words("text_of_thing", number=number + 1)}"')
            field.classes("grow")
            self._draw_date(row)
            self._draw_remove(remove)

    def _draw_time(self, row: PointRow | EventRow, number: int) -> None:
        parts = self.draft.parts
        unit, what = "hour" if parts > 1 else "day", "row" if isinstance(row, PointRow) else "thing"
        name = self._visit.words(f"{unit}_of_{what}", number=number + 1)

        def set_time(event: Any) -> None:
            row.days = None if event.value is None else event.value / parts
            self._show_dates()
            self._typed()

        value = None if row.days is None else round(row.days * parts, 4)
        field = ui.number(value=value, min=0, on_change=set_time, suffix="h" if parts > 1 else "d")
        field.props(f'dense outlined aria-label="{name}"').classes("w-24 shrink")

    def _draw_date(self, row: PointRow | EventRow) -> None:
        label = ui.label().classes("max-sm:hidden text-sm opacity-70 whitespace-nowrap")
        self._dates.append((label, lambda: row.days))

    def _draw_remove(self, remove: Callable[[], None]) -> None:
        tip = self._visit.words("remove_row")
        ui.button(icon="close", on_click=remove).props(f'{_SIDE} aria-label="{tip}"').tooltip(tip)

    def _show_dates(self) -> None:
        """Beside each row when its time comes, where the profile runs."""
        for label, days_of in self._dates:
            days = days_of()
            text = ""
            if self._started_ms is not None and days is not None:
                at_ms = self._started_ms + round(days * DAY_MS)
                text = figures.moment(at_ms, self._visit.settings.timezone)[:-3]
            label.text = text

    def _type_head(self) -> None:
        parts = self.draft.parts
        self.draft.name, self.draft.type = (self._name.value or "").strip(), self._type.value or ""
        if self.draft.parts != parts:
            self._draw()
        self._typed()

    def _typed(self) -> None:
        self._save_button.set_enabled(self.draft.is_changed)
        self._discard_button.set_visibility(self.draft.is_changed)
        self._on_type()

    def _add_point(self) -> None:
        if len(self.draft.points) < MAX_ROWS:
            self.draft.insert_point(len(self.draft.points))
            self._draw()

    def _add_event(self) -> None:
        if len(self.draft.events) < MAX_ROWS:
            self.draft.events.append(EventRow())
            self._draw()

    async def _save(self) -> None:
        visit = self._visit
        try:
            body = bodies.Profile.model_validate(self.draft.to_body())
        except IncompleteError:
            ui.notify(visit.words("incomplete_row"), type="negative")
            return
        except ValidationError as error:
            visit.tell_wrong(error)
            return
        entry = await visit.say("profile", self._seen.subject, body, self._seen.id)
        if entry is not None:
            self._newest = entry
            self._load()
