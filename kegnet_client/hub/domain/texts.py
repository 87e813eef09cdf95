"""Texts that others wrote, made harmless for wherever they are shown: people, logs, spreadsheets, names of topics.

What a person types is refused where it holds what nobody can see, so that he can mend it. What a program sends is
cleaned: its alarm has to be shown in any case.
"""

import re
from unicodedata import category

MAX_NAME = 100
MAX_LINE = 500
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control characters, marks of direction and joiners, what stands for nothing, and what ends a line."""
_FORMULA = ("=", "+", "-", "@")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")


def check_visible(text: str) -> str:
    """``text``; `ValueError` if it holds a character that moves, hides or ends other text."""
    hidden = next((one for one in text if category(one) in _HIDDEN), None)
    if hidden is not None:
        raise ValueError(f"it holds the character U+{ord(hidden):04X}, which nobody can see")
    return text


def clean(text: str, max_length: int = MAX_LINE) -> str:
    """``text`` on one line of at most ``max_length`` characters, with a ? for each that nobody can see."""
    shown = "".join(" " if one in "\n\t" else "?" if category(one) in _HIDDEN else one for one in text[:max_length])
    return shown.strip() if len(text) <= max_length else f"{shown[: max_length - 1].strip()}…"


def csv_cell(text: str) -> str:
    """``text`` so that no spreadsheet takes it for a formula: ' goes before what could be one; numbers stay."""
    looks_so = text.lstrip().startswith(_FORMULA) or text.startswith(("\t", "\r", "\n"))
    return f"'{text}" if looks_so and not _NUMBER.fullmatch(text) else text


def plain_name(text: str, max_length: int = 40) -> str:
    """``text`` as one level of an MQTT topic, or as part of a metric's name: a to z, 0 to 9 and _, never empty.

    Two texts may become one name: a number that is unique goes beside it.
    """
    return _NOT_PLAIN.sub("_", text.lower())[:max_length].strip("_") or "x"
