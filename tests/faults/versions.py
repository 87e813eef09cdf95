"""Which versions of the protocol a test is for, and which of its cases only where there is time."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest

BOTH = pytest.mark.parametrize("version", ["v2", "v3"])
V2_LATER = pytest.mark.parametrize("version", [pytest.param("v2", marks=pytest.mark.slow), "v3"])
"""Both, but the quick run is content with one of them."""
V3 = pytest.mark.parametrize("version", ["v3"])


def slowly(*values: Any) -> list[Any]:
    """These too, where there is time; a tuple is a case of several arguments."""
    cases = (value if isinstance(value, tuple) else (value,) for value in values)
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def some_of(cases: Iterable[tuple[Any, ...]], quick: Collection[tuple[Any, ...]]) -> list[Any]:
    """All of ``cases``; those that are not ``quick`` where there is time."""
    return [pytest.param(*case, marks=[] if case in quick else pytest.mark.slow) for case in cases]
