"""Colours: whether a text on one can be read. Pure.

Source: WCAG 2.1, relative luminance and contrast ratio.
"""

READABLE = 4.5
"""The contrast from which on a text of usual size can be read; WCAG's level AA."""


def contrast_with_white(colour: str) -> float:
    """From 1 (white itself) to 21 (black). ``colour`` is written as #rrggbb."""
    return 1.05 / (_luminance(colour) + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)
