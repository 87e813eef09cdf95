"""The hub's directory and its store, for the commands that need them."""

import argparse
import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

from kegnet_client.commands.parser import Parser

if TYPE_CHECKING:
    from kegnet_client.hub.home import Home
    from kegnet_client.hub.store.records import Store


def add_directory(parser: Parser, default: str | None = None) -> None:
    """Add ``--dir``."""
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        default=default,
        help="the hub's directory (default: $KEGNET_HUB_DIR, or else /var/lib/kegnet-hub)",
    )


def find_home(options: argparse.Namespace) -> "Home":
    """The hub's directory, by ``--dir`` or the environment."""
    from kegnet_client.hub.home import DEFAULT_DIRECTORY, DIRECTORY_VARIABLE, Home

    return Home(options.dir or Path(os.environ.get(DIRECTORY_VARIABLE) or DEFAULT_DIRECTORY))


def open_store(home: "Home") -> "Store":
    """The store of the hub in ``home``, prepared. Raises `ConfigError`."""
    from kegnet_client.hub.move import refuse_if_left_behind
    from kegnet_client.hub.store.records import Store

    refuse_if_left_behind(home)
    store = Store(home.database())
    store.prepare()
    return store


def local_time(unix_ms: int) -> str:
    """The time as people here read it."""
    return datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC).astimezone().isoformat(" ", "seconds")
