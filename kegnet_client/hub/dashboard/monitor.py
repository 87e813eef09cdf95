"""What every channel carries, as it comes, in the words in which a client of `/socket` hears it.

Bounded: the last `MAX_LINES` messages are kept, each shown up to `MAX_TEXT` characters, twice a second at most.
"""

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import Any

from nicegui import background_tasks, ui
from sqlalchemy import Connection

from kegnet_client.hub.bus import CutOffError
from kegnet_client.hub.dashboard import figures
from kegnet_client.hub.dashboard.context import RETRY_S, Visit
from kegnet_client.hub.maelstrom import channels
from kegnet_client.hub.store import events
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.events import Event

MAX_LINES = 100
MAX_TEXT = 240
DRAW_S = 0.5
"""Between one drawing and the next."""
_ALL = ""
_MISSED = "-"


@dataclass(frozen=True, slots=True)
class _Line:
    number: str
    at_ms: int
    channel: str
    data: str


class Monitor:
    """The table of messages, with a choice of channel and a switch that holds it still."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._lines: deque[_Line] = deque(maxlen=MAX_LINES)
        self._newest = 0
        self._missed = 0
        words = visit.words
        columns: list[dict[str, Any]] = [
            # On two lines of one column: a phone is narrow.
            {"name": "from", "label": words("channel"), "field": "from", "align": "left", "style": "white-space: pre"},
            {"name": "data", "label": words("message"), "field": "data", "align": "left", "classes": "font-mono"},
        ]
        columns[1]["style"] = "white-space: normal; overflow-wrap: anywhere"
        with ui.row().classes("w-full items-center gap-4"):
            self._channel = ui.select({_ALL: words("all_channels")}, value=_ALL, label=words("channel"))
            self._channel.on_value_change(self._draw)
            self._channel.classes("w-52")
            self._is_still = ui.switch(words("hold_still"), on_change=self._draw)
        with ui.element("div").classes("w-full max-h-[75vh] overflow-y-auto") as scrolled:
            scrolled.props(f'tabindex=0 role="region" aria-label="{words("live")}"')  # for who has no mouse
            self._table = ui.table(columns=columns, rows=[], row_key="id").classes("w-full")
        self._table.props("flat dense wrap-cells").on("rowClick", self._open)
        self._empty = ui.label(words("no_messages"))

    async def begin(self) -> None:
        """Show the last messages that are kept, and what comes for as long as the page is open."""
        await self._catch_up()
        if ui.context.client.is_deleted:  # to make room, while the page was being made
            return
        task = background_tasks.create(self._follow(), name="monitor")
        ui.context.client.on_delete(task.cancel)

    async def _catch_up(self) -> None:
        for event in await self._visit.hub.read(_read_last):
            self._take(event)
        self._draw()

    async def _follow(self) -> None:
        while True:
            try:
                async with self._visit.hub.bus.subscribe() as subscription:
                    await self._catch_up()  # with what came before, when nobody listened
                    while True:
                        came = deque([await subscription.get()], MAX_LINES)
                        try:
                            async with asyncio.timeout(DRAW_S):
                                while True:
                                    came.append(await subscription.get())
                        except TimeoutError:
                            pass
                        for event in came:
                            self._take(event)
                        self._draw()
            except (CutOffError, StoreError) as error:
                self._missed += 1
                self._lines.appendleft(
                    _Line(f"{_MISSED}{self._missed}", self._visit.hub.clock_ms(), _MISSED, str(error))
                )
                self._draw()
                await asyncio.sleep(RETRY_S)

    def _take(self, event: Event) -> None:
        if event.id <= self._newest:
            return
        self._newest = event.id
        heard = channels.frames_of(event, {event.channel, *channels.INTERNAL})
        for number, text in enumerate(heard):
            message = json.loads(text)
            data = message["data"]
            shown = data if len(data) <= MAX_TEXT else f"{data[:MAX_TEXT]}…"
            self._lines.appendleft(_Line(f"{event.id}.{number}", event.at_ms, message["channel"], shown))

    def _draw(self) -> None:
        if self._is_still.value:
            return
        options = self._options()
        if options != self._channel.options:
            self._channel.set_options(options, value=self._channel.value)
        chosen = self._channel.value
        zone = self._visit.settings.timezone
        rows = [
            {"id": one.number, "from": f"{figures.moment(one.at_ms, zone)[11:]}\n{one.channel}", "data": one.data}
            for one in self._lines
            if chosen in (_ALL, one.channel)
        ]
        self._empty.set_visibility(not rows)
        if rows != self._table.rows:
            self._table.rows = rows
            self._table.update()

    def _options(self) -> dict[str, str]:
        heard = {one.channel for one in self._lines}
        names = sorted({_ALL, *channels.KNOWN, *heard, self._channel.value})
        return {one: one or self._visit.words("all_channels") for one in names}

    async def _open(self, clicked: Any) -> None:
        """Show the whole of a message."""
        number, _, place = str(clicked.args[1]["id"]).partition(".")
        if not number.isdecimal():
            return
        found = await self._visit.hub.read(lambda connection: events.read_after(connection, int(number) - 1, 1, None))
        if not found or found[0].id != int(number):
            return
        heard = channels.frames_of(found[0], {found[0].channel, *channels.INTERNAL})
        message = json.loads(heard[int(place)])
        with ui.dialog() as dialog, ui.card().classes("w-full max-w-3xl"):
            ui.label(message["channel"]).classes("text-xl")
            ui.label(message["data"]).classes("font-mono whitespace-pre-wrap break-all")
            ui.button(self._visit.words("close"), on_click=dialog.close)
        dialog.open()


def _read_last(connection: Connection) -> list[Event]:
    _, newest = events.read_bounds(connection)
    return events.read_after(connection, max(0, newest - MAX_LINES), MAX_LINES, None)
