"""The house: which room may import which, names that are told apart, and files of a size to read."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import kegnet_client

from .conftest import WHOLE_PROGRAMS

PACKAGE = Path(kegnet_client.__file__).parent
CHECKOUT = Path(__file__).parents[1]
MAX_LINES = 400

BASE = {"core", "host"}
BELOW_SINKS = BASE | {"net", "keys", "config"}
BELOW_DELIVERY = BELOW_SINKS | {"sinks", "spool"}
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "host": {"core"},
    "net": BASE,
    "keys": BASE,
    "config": BASE | {"net", "keys"},
    "sinks": BELOW_SINKS,
    "spool": BELOW_SINKS,
    "delivery": BELOW_DELIVERY,
    "enrolment": BELOW_DELIVERY,
    "producers": BELOW_DELIVERY,
    "runner": BELOW_DELIVERY,
    "hub": BASE | {"keys", "net", "config"},
    "demo": BELOW_DELIVERY | {"hub", "producers"},
    "commands": BELOW_DELIVERY | {"delivery", "enrolment", "producers", "runner", "hub", "demo"},
    "cli": BASE | {"commands"},
}
"""What a room may import besides itself; the version in the package's ``__init__`` is everybody's but the core's."""

QUALIFIED = {"core/wire", "hub/api", "hub/dashboard", "hub/domain", "hub/ingest", "hub/outlets", "hub/store"}
QUALIFIED |= {"commands/hub", "commands/module", "hub/ledger"}
"""Rooms within a room, whose name goes before those of their modules."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(source: str) -> Iterator[str]:
    """The rooms of this package that ``source`` imports anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                modules = [name.name for name in names]
            case ast.ImportFrom(module="kegnet_client", names=names, level=0):
                modules = [f"kegnet_client.{name.name}" for name in names if not name.name.isupper()]
                modules = [module for module in modules if module != "kegnet_client.__version__"]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case ast.ImportFrom():
                yield "a relative import"
                continue
            case _:
                continue
        for module in modules:
            package, _, rest = module.partition(".")
            if package == "kegnet_client" and rest:
                yield rest.partition(".")[0]


FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [path for path in FILES if path.parent != PACKAGE or path.name != "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_down(path: Path) -> None:
    room = room_of(path)
    assert set(imported_rooms(path.read_text())) - {room} - MAY_IMPORT[room] == set()


def test_the_rooms_have_no_circle() -> None:
    below: dict[str, set[str]] = {}
    while len(below) < len(MAY_IMPORT):
        ready = [room for room in MAY_IMPORT if room not in below and MAY_IMPORT[room] <= below.keys()]
        assert ready, f"a circle among {MAY_IMPORT.keys() - below.keys()}"
        below |= {room: MAY_IMPORT[room] for room in ready}


def test_nothing_imports_the_hub_but_commands_and_demo() -> None:
    assert {room for room, rooms in MAY_IMPORT.items() if "hub" in rooms} == {"commands", "demo"}


def test_no_two_modules_of_a_room_share_a_name() -> None:
    places = defaultdict(list)
    for path in MODULES:
        place = path.relative_to(PACKAGE)
        room = next((room for room in QUALIFIED if place.is_relative_to(room)), place.parts[0])
        if place.name != "__init__.py":
            places[room, place.stem].append(str(place))
    assert [found for found in places.values() if len(found) > 1] == []


def test_no_file_is_too_long_to_read() -> None:
    files = [*FILES, *CHECKOUT.glob("tests/**/*.py")]
    lengths = {str(path): len(path.read_text().splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("import kegnet_client.hub.serve", ["hub"]),
        ("import os, kegnet_client.keys as k", ["keys"]),
        ("from kegnet_client.core.wire import batch", ["core"]),
        ("from kegnet_client import keys", ["keys"]),
        ("from kegnet_client import RELEASED_MS, __version__", []),
        ("def f():\n    from kegnet_client.hub import pki", ["hub"]),
        ("from ..hub import pki", ["a relative import"]),
        ("from kegnet_clients.hub import x", []),
    ],
)
def test_an_import_is_found_wherever_it_stands(source: str, rooms: list[str]) -> None:
    assert list(imported_rooms(source)) == rooms


def test_make_leaves_out_unread_what_starts_whole_programs_and_nothing_else() -> None:
    (named,) = re.findall(r"^PROGRAMS = (.*)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert set(named.split()) == WHOLE_PROGRAMS
