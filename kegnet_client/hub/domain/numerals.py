"""Numbers in texts, with the decimal sign of the language. Pure."""

import string
from typing import Any, Literal

Language = Literal["en", "de"]
LANGUAGES: tuple[Language, ...] = ("en", "de")


def decimal(text: str, language: Language) -> str:
    """The number ``text``, written with a point, as ``language`` writes it."""
    return text.replace(".", ",") if language == "de" else text


def fill(template: str, language: Language, fields: dict[str, object]) -> str:
    """``template``, which is in ``language``, with ``fields`` put in."""
    return _GERMAN.vformat(template, (), fields) if language == "de" else template.format(**fields)


class _German(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        text: str = super().format_field(value, format_spec)
        return decimal(text, "de") if isinstance(value, float) else text


_GERMAN = _German()
