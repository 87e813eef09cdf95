"""Which pours are shown: of a tap, of a keg, from one day until another; and the same as a CSV file."""

import datetime
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import ui
from sqlalchemy import Select

from kegnet_client.hub.api.records import Pour
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.names import Names
from kegnet_client.hub.store import volumes
from kegnet_client.hub.store.pages import Form, Query

CSV_PAGE = 1000
MAX_CSV_PAGES = 100
"""A hundred thousand pours: years of a bar. Whoever wants more asks for fewer days at a time."""
ALL = 0


class PourFilter:
    """The fields; ``on_change`` is called when one of them has changed."""

    def __init__(self, visit: Visit, on_change: Callable[[], Any]) -> None:
        self._visit = visit
        words = visit.words
        self._tap = ui.select({ALL: words("all_taps")}, value=ALL, label=words("tap"), on_change=on_change)
        self._keg = ui.select({ALL: words("all_kegs")}, value=ALL, label=words("keg"), on_change=on_change)
        self._from = ui.input(words("from_day"), on_change=on_change).props("type=date stack-label clearable")
        self._to = ui.input(words("to_day"), on_change=on_change).props("type=date stack-label clearable")
        self._unassigned = ui.switch(words("unassigned"), on_change=on_change)
        ui.button(words("as_csv"), icon="download", on_click=self._download).props("flat dense no-caps")
        for one in (self._tap, self._keg):
            one.classes("min-w-[9rem]")

    @property
    def is_for_unassigned(self) -> bool:
        """Whether only those are shown that belong to no keg."""
        return bool(self._unassigned.value)

    def show(self, names: Names) -> None:
        """Let there be these taps and kegs to choose from."""
        for field, kind, all_of in ((self._tap, "tap", "all_taps"), (self._keg, "keg", "all_kegs")):
            found = {int(number): name for (one, number), name in names.items() if one == kind}
            options = {ALL: self._visit.words(all_of), **found}
            if options != field.options:
                field.set_options(options, value=field.value)

    def ask(self, limit: int, after: tuple[int, int] | None) -> tuple[Select[Any], Query]:
        """What is read, and the page of it."""
        zone = self._visit.settings.timezone
        query = Query(limit, after, day_ms(self._from.value, zone), day_ms(self._to.value, zone, days=1))
        rows = volumes.select_pours(
            query, self._tap.value or None, self._keg.value or None, unassigned=self.is_for_unassigned
        )
        return rows, query

    async def _download(self) -> None:
        store, lines, after = self._visit.hub.store, b"", None
        for _ in range(MAX_CSV_PAGES):
            rows, query = self.ask(CSV_PAGE, after)
            page = await store.page_text(rows, list(Pour.model_fields), "started_ms", query, Form.CSV)
            head, _, body = page.content.partition(b"\n")
            lines += body if lines else head + b"\n" + body
            if page.next is None:
                break
            time_ms, _, number = page.next.partition(".")
            after = int(time_ms), int(number)
        ui.download.content(lines, "pours.csv", "text/csv")


def day_ms(day: str | None, timezone: str, days: int = 0) -> int | None:
    """When ``day`` (2026-11-28) begins where the hub is, or the day so many ``days`` later; None where none is told."""
    try:
        date = datetime.date.fromisoformat(day or "") + datetime.timedelta(days)
        return round(datetime.datetime.combine(date, datetime.time(), ZoneInfo(timezone)).timestamp() * 1000)
    except (ValueError, OverflowError):  # half of it is typed
        return None
