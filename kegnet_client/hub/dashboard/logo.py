"""The hub's logo: a small image that is kept in the settings, so that it is loaded from nowhere else."""

import base64

from nicegui import events, ui

from kegnet_client.hub.dashboard.context import Visit
from kegnet_client.hub.store import bodies

_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}
"""Types of images by how their files begin; whatever a browser says of a file is not trusted."""


def data_url(content: bytes) -> str | None:
    """``content`` as the settings keep it; None if it is no image of a kind that can hold no script, or too large."""
    kind = next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
    if kind is None or len(content) > bodies.MAX_LOGO_BYTES or (kind == "webp" and content[8:12] != b"WEBP"):
        return None
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def show_logo(url: str) -> ui.element:
    """Add the image; it says nothing that the hub's name beside it does not."""
    image = ui.element("img").classes("h-8 w-auto max-w-[8rem] object-contain").props('alt=""')
    image.props["src"] = url
    return image


class LogoField:
    """Where it is chosen; ``url`` is what was chosen, empty for none."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self.url = visit.settings.logo
        words = visit.words
        # The uploader's own button is a button in a link, without a name: nobody with a screen reader can use it.
        self._upload = ui.upload(
            auto_upload=True,
            max_file_size=bodies.MAX_LOGO_BYTES,
            on_upload=self._take,
            on_rejected=self._refuse,
        )
        self._upload.props('accept=".png,.jpg,.jpeg,.webp,.gif"').classes("hidden")
        choose = ui.button(words("logo", kib=bodies.MAX_LOGO_BYTES // 1024), icon="image")
        choose.on_click(lambda: self._upload.run_method("pickFiles")).props("outline no-caps")
        with ui.row().classes("items-center gap-3") as self._chosen:
            self._image = show_logo(self.url)
            ui.button(words("no_logo"), on_click=lambda: self._choose("")).props("flat dense no-caps")
        self._chosen.set_visibility(bool(self.url))

    async def _take(self, event: events.UploadEventArguments) -> None:
        url = data_url(await event.file.read())
        self._upload.reset()
        if url is None:
            self._refuse()
        else:
            self._choose(url)

    def _refuse(self) -> None:
        ui.notify(self._visit.words("logo_wrong"), type="negative")

    def _choose(self, url: str) -> None:
        self.url = url
        self._image.props["src"] = url
        self._chosen.set_visibility(bool(url))
