"""Texts that others wrote, made harmless for wherever they are shown.

What a person types is refused where it holds what nobody can see, so that he can fix it. What a program sends is
cleaned: its alarm has to be shown in any case.
"""

from unicodedata import category

from kegnet_client.hub.domain.refusal_texts import WrongValueError

MAX_NAME = 100
MAX_LINE = 500
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control characters, marks of direction and joiners, what stands for nothing, and what ends a line."""


def check_visible(text: str) -> str:
    """``text``; `ValueError` if it holds a character that moves, hides or ends other text."""
    hidden = next((one for one in text if category(one) in _HIDDEN), None)
    if hidden is not None:
        raise WrongValueError("hidden-character", number=ord(hidden))
    return text


def clean(text: str, max_length: int = MAX_LINE) -> str:
    """``text`` on one line of at most ``max_length`` characters, with a ? for each that nobody can see."""
    shown = "".join(" " if one in "\n\t" else "?" if category(one) in _HIDDEN else one for one in text[:max_length])
    return shown.strip() if len(text) <= max_length else f"{shown[: max_length - 1].strip()}…"
