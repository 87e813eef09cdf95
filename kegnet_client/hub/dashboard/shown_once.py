"""What is shown once: a token, or the command that a device joins by, as text to copy and as a QR code."""

import segno
from nicegui import ui

from kegnet_client.hub.dashboard.context import Visit

_QR_PIXELS_A_MODULE = 4


def show_secret(visit: Visit, text: str) -> None:
    """Add ``text`` so that it is copied whole, and what a camera reads of it."""
    words = visit.words
    ui.label(text).classes("font-mono break-all select-all p-3 rounded bg-gray-500/20 w-full")
    ui.button(words("copy"), icon="content_copy", on_click=lambda: ui.clipboard.write(text)).props("flat no-caps")
    code = segno.make(text, micro=False)
    image = ui.element("img").classes("w-64 max-w-full bg-white rounded")
    image.props["src"] = code.svg_data_uri(scale=_QR_PIXELS_A_MODULE, border=4)
    image.props["alt"] = words("qr")
