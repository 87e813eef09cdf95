"""How the pages show what is not of now."""

from nicegui import ui

from kegnet_client.hub.dashboard.words import Words
from kegnet_client.hub.store.hearing import TapMeter

OLD = "opacity-60"


def set_old(element: ui.element, is_old: bool) -> None:
    """Show ``element`` in grey if what it says is old."""
    element.classes(add=OLD if is_old else "", remove="" if is_old else OLD)


def tell_silence(words: Words, silent: TapMeter, now_ms: int) -> str:
    """Since when a level is not current: since then its device is silent."""
    if silent.heard_ms is None:
        return words("level_unheard")
    return words("level_stale", ago=words.ago(now_ms - silent.heard_ms))
