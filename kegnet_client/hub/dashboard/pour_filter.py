"""Which pours are shown: of a tap, of a keg, from one day until another; and the same as a CSV file."""

import datetime
from collections.abc import Callable
from typing import Any

from nicegui import ui
from sqlalchemy import Select

from kegnet_client.hub.api.records import Pour
from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.dashboard.names import Names
from kegnet_client.hub.store import volumes
from kegnet_client.hub.store.pages import LINE_END, Form, Query, parse_position
from kegnet_client.hub.store.records import Store

CSV_PAGE = 1000
MAX_CSV_PAGES = 100
"""A hundred thousand pours: years of a bar. Whoever wants more asks for fewer days at a time."""
ALL = 0

Ask = Callable[[int, tuple[int, int] | None], tuple[Select[Any], Query]]
"""What is read, and a page of it: so many pours, after such a place."""


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
        content, is_whole = await read_csv(self._visit.hub.store, self.ask)
        ui.download.content(content, "pours.csv", "text/csv")
        if not is_whole:
            ui.notify(self._visit.words("csv_cut", count=f"{CSV_PAGE * MAX_CSV_PAGES:,}"), type="warning")


async def read_csv(store: Store, ask: Ask, limit: int = CSV_PAGE, most: int = MAX_CSV_PAGES) -> tuple[bytes, bool]:
    """All pages of what ``ask`` asks for, at most ``most`` of ``limit`` pours each; and whether that is all of it."""
    lines: list[bytes] = []
    after = None
    while len(lines) < most:
        rows, query = ask(limit, after)
        page = await store.page_text(rows, list(Pour.model_fields), "started_ms", query, Form.CSV)
        # The head stands once.
        lines.append(page.content.partition(LINE_END.encode())[2] if lines else page.content)
        after = parse_position(page.next)
        if after is None:
            break
    return b"".join(lines), after is None


def day_ms(day: str | None, timezone: str, days: int = 0) -> int | None:
    """When ``day`` (2026-11-28) begins where the hub is, or the day so many ``days`` later; None where none is told."""
    try:
        date = datetime.date.fromisoformat(day or "") + datetime.timedelta(days)
        return figures.unix_ms(date.isoformat(), timezone)
    except (ValueError, OverflowError):  # half of it is typed
        return None
