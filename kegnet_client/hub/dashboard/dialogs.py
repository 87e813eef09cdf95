"""A dialog that stays until it is closed, whatever becomes of the button that opened it, and leaves nothing then."""

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui


@contextmanager
def open_dialog(title: str) -> Iterator[ui.dialog]:
    """A dialog whose content goes inside."""
    with ui.context.client.content, ui.dialog() as dialog, ui.card().classes("w-full max-w-lg"):
        ui.label(title).classes("text-xl break-words max-w-full")
        yield dialog
    dialog.on_value_change(lambda: None if dialog.value or dialog.is_deleted else dialog.delete())
    dialog.open()
