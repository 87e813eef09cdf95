"""Imports without a part that is not used, on machines where memory is short."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType


@contextlib.contextmanager
def left_out(*names: str) -> Iterator[None]:
    """What is imported in here does without the modules ``names``, unless somebody has them already.

    Only for what provides for their absence. Whoever imports them for itself afterwards gets them as ever.
    """
    absent = [name for name in names if name not in sys.modules]
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None makes an import fail
    modules.update(dict.fromkeys(absent))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that they are missing
            yield
    finally:
        for name in absent:
            del modules[name]
