"""Which versions of the protocol a test is for, and which of its cases only where there is time."""

from typing import Any

import pytest

BOTH = pytest.mark.parametrize("version", ["v2", "v3"])
V2_LATER = pytest.mark.parametrize("version", [pytest.param("v2", marks=pytest.mark.slow), "v3"])
"""Both, but the quick run is content with one of them."""
V3 = pytest.mark.parametrize("version", ["v3"])


def slowly(*values: Any) -> list[Any]:
    """These too, where there is time."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]
