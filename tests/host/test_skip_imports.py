"""Imports that do without a module, for a moment; modules of this test's own stand for both."""

import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from kegnet_client.host.skip_imports import left_out

HEAVY = "kegnet_test_heavy"
USER = "kegnet_test_user"


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A heavy module, and one that warns where it has to do without."""
    (tmp_path / f"{HEAVY}.py").write_text("")
    (tmp_path / f"{USER}.py").write_text(
        f"import warnings\ntry:\n    import {HEAVY} as heavy\n"
        "except ImportError:\n    heavy = None\n    warnings.warn('something is missing')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in (HEAVY, USER):
        sys.modules.pop(name, None)


def test_what_is_imported_in_it_does_without_and_says_nothing() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with left_out(HEAVY):
            user = importlib.import_module(USER)
        warnings.warn("afterwards", stacklevel=1)

    assert user.heavy is None
    assert [str(one.message) for one in said] == ["afterwards"]


def test_whoever_wants_it_afterwards_has_it() -> None:
    with left_out(HEAVY):
        importlib.import_module(USER)

    assert HEAVY not in sys.modules
    assert importlib.import_module(HEAVY).__file__


def test_what_somebody_has_already_is_not_taken_away() -> None:
    heavy = importlib.import_module(HEAVY)
    with left_out(HEAVY):
        user = importlib.import_module(USER)

    assert user.heavy is heavy
    assert sys.modules[HEAVY] is heavy


def test_an_import_that_fails_in_it_leaves_nothing_behind() -> None:
    with pytest.raises(ModuleNotFoundError), left_out(HEAVY):
        importlib.import_module(HEAVY)

    assert importlib.import_module(HEAVY).__file__
