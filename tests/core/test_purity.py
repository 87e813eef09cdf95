"""The core and the hub's domain stay pure: no I/O, no clock, no logging, no threads, by a list of what they import."""

import ast
from pathlib import Path

import pytest

import kegnet_client.core
import kegnet_client.hub.domain

ROOMS = [Path(str(room.__file__)).parent for room in (kegnet_client.core, kegnet_client.hub.domain)]
FILES = sorted(path for room in ROOMS for path in room.rglob("*.py"))

WHOLE_MODULES = {
    "base64",
    "bisect",
    "binascii",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "hashlib",
    "heapq",
    "ipaddress",
    "itertools",
    "json",
    "re",
    "string",
    "typing",
    "unicodedata",
    "urllib.parse",
}
SINGLE_NAMES = {
    "datetime": {"UTC", "datetime", "timedelta"},
    "email.utils": {"parsedate_to_datetime"},
    "kegnet_client.hub.domain": {"measures"},
    "uuid": {"UUID"},  # to read one; making one asks the machine
}
OWN = ("kegnet_client.core.", "kegnet_client.hub.domain.")

FORBIDDEN_CALLS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}
FORBIDDEN_METHODS = {"now", "utcnow", "today", "getLogger"}


def impurities(source: str) -> list[str]:
    """Each line of ``source`` that reaches outside of the core."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [f"import {name.name}" for name in names if name.name not in WHOLE_MODULES]
            case ast.ImportFrom(module=module, names=names, level=level):
                modules = module or ""
                if level == 0 and (modules in WHOLE_MODULES or modules.startswith(OWN)):
                    continue
                allowed = SINGLE_NAMES.get(modules, set()) if level == 0 else set()
                found += [f"from {modules} import {name.name}" for name in names if name.name not in allowed]
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                found.append(f"{name}()")
            case ast.Call(func=ast.Attribute(attr=name)) if name in FORBIDDEN_METHODS:
                found.append(f".{name}()")
    return found


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_it_reaches_nothing_outside_of_itself(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8")) == []


def test_the_whole_core_is_looked_at() -> None:
    assert {
        "verdict.py",
        "errors.py",
        "delivery_queue.py",
        "retry_policy.py",
        "records.py",
        "forms.py",
        "batch.py",
    } <= {path.name for path in FILES}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os", ["import os"]),
        ("import re, time", ["import time"]),
        ("def f():\n    import socket", ["import socket"]),
        ("import urllib.request", ["import urllib.request"]),
        ("from urllib import request", ["from urllib import request"]),
        ("from datetime import datetime, timezone", ["from datetime import timezone"]),
        ("from email.utils import localtime", ["from email.utils import localtime"]),
        ("from kegnet_client.host.clock import Clock", ["from kegnet_client.host.clock import Clock"]),
        ("from kegnet_client import RELEASED_MS", ["from kegnet_client import RELEASED_MS"]),
        ("from .. import clock", ["from  import clock"]),
        ("from ..spool import Spool", ["from spool import Spool"]),
        ("import threading as re", ["import threading"]),
        ("open('x')", ["open()"]),
        ("print('x')", ["print()"]),
        ("__import__('os')", ["__import__()"]),
        ("datetime.now(UTC)", [".now()"]),
        ("datetime.utcnow()", [".utcnow()"]),
        ("date.today()", [".today()"]),
        ("from kegnet_client.core.errors import RecordError", []),
        ("import re\nfrom datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)", []),
    ],
)
def test_what_is_impure_is_found(source: str, found: list[str]) -> None:
    assert impurities(source) == found
