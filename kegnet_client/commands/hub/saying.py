"""What the commands have in common that say something of taps, kegs and meters, and show what holds.

They work on the database itself, whether the hub runs or not, as the user who may read the hub's directory; the history
calls them the console.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from kegnet_client.commands.hub.home import find_home, open_store
from kegnet_client.core.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

CONSOLE = "console"

_T = TypeVar("_T")


def look(options: argparse.Namespace, work: Callable[["Connection"], _T]) -> _T:
    """What ``work`` reads."""
    with closing(open_store(find_home(options))) as store:
        return store.read(work)


def change(options: argparse.Namespace, work: Callable[["Connection", int], _T]) -> _T:
    """What ``work`` gives, which is told the time; `UsageError` where it does not go with what holds."""
    from pydantic import ValidationError

    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store.house import UnknownError, WrongEntryError

    with closing(open_store(find_home(options))) as store:
        try:
            return store.write(lambda connection: work(connection, wall_ms()))
        except WrongEntryError as error:
            raise UsageError(f"{error.field}: {error}") from None
        except UnknownError as error:
            raise UsageError(str(error)) from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"{place}: {first['msg']}".removeprefix(": ")) from None


def number_of(connection: "Connection", kind: str, word: str) -> int:
    """The number of the tap, profile or beverage that ``word`` names: by its number, or its name in whatever case."""
    from kegnet_client.hub.store import entries

    if word.isascii() and word.isdecimal():
        return int(word)
    found = [
        one.subject
        for one in entries.read_open(connection, kind)
        if str(one.body.get("name", "")).casefold() == word.casefold()
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"several are called {word}: give the number, one of {', '.join(map(str, found))}")
    raise UsageError(f"there is no {kind} {word}; `kegnet-client hub {kind}s` lists them")


def uuid_of(connection: "Connection", word: str) -> str:
    """The uuid of the device that ``word`` names: it is one, of a device that may be registered later, or a name."""
    from kegnet_client.core.wire.forms import is_uuid
    from kegnet_client.hub.store import devices

    return word.lower() if is_uuid(word) else devices.find(connection, word).uuid


def print_rows(
    options: argparse.Namespace, rows: Sequence[dict[str, Any]], line: Callable[[dict[str, Any]], str]
) -> int:
    """Print ``rows``, as JSON or a ``line`` each."""
    if options.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print(line(row))
    return 0


def print_done(options: argparse.Namespace, holding: Mapping[str, Any], text: str) -> int:
    """Print what holds now, as JSON or in words."""
    print(json.dumps(holding) if options.json else text)
    return 0
