"""Colours, where a person looks on: on a terminal that has them, unless NO_COLOR is set (https://no-color.org)."""

import os
from typing import TextIO

GREEN, YELLOW, RED = 32, 33, 31


def paint(text: str, colour: int, stream: TextIO) -> str:
    """``text`` in ``colour`` as ``stream`` shows it, or as it is."""
    is_wanted = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[{colour}m{text}\x1b[0m" if is_wanted else text
