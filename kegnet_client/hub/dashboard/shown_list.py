"""A list on a card, drawn anew only when what it shows has changed: until then a button keeps the keyboard's focus."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from nicegui import ui

_T = TypeVar("_T")


class ShownList(Generic[_T]):
    """A list where each thing is drawn by ``draw``, and ``nothing`` is told where there is none."""

    def __init__(self, draw: Callable[[_T], None], nothing: str = "", title: str = "") -> None:
        self._draw, self._nothing, self._title = draw, nothing, title
        self._shown: Sequence[_T] | None = None
        self._column = ui.column().classes("w-full gap-1")

    def show(self, found: Sequence[_T]) -> None:
        """Let these stand there, below the title if there are any."""
        if found == self._shown:
            return
        self._shown = found
        self._column.clear()
        with self._column:
            if found and self._title:
                ui.label(self._title).classes("text-lg mt-2")
            if not found and self._nothing:
                ui.label(self._nothing).classes("opacity-70")
            for one in found:
                self._draw(one)


def add_row(title: str, text: str, action: str, describes: str, on_click: Callable[[], object]) -> None:
    """A thing of a list, and a button for what can be done with it, which a screen reader calls ``describes``."""
    with ui.row().classes("w-full items-center justify-between no-wrap"):
        with ui.column().classes("gap-0 min-w-0"):
            ui.label(title).classes("font-bold break-words max-w-full")
            ui.label(text).classes("text-sm opacity-70 break-words max-w-full")
        button = ui.button(action, on_click=on_click).props("flat dense no-caps")
        button.props["aria-label"] = describes
