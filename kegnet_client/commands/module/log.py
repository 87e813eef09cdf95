"""``kegnet-client module log``: print what the programs of a device say."""

import argparse
import time
from typing import Any

from kegnet_client.commands.module.options import add_database, open_database
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError
from kegnet_client.runner.text import printable

LOOK_AGAIN_S = 2.0


def add_arguments(parser: Parser) -> None:
    """Add what ``module log`` takes."""
    parser.add_argument("device", metavar="MACID", help="the device, by its MacID")
    parser.add_argument("--name", help="of one program only")
    parser.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    add_database(parser)


def handle(options: argparse.Namespace) -> int:
    """Print the last lines, and then those that come."""
    couch = open_database(options)
    shown: list[Any] = []
    while True:
        document = couch.get(f"{options.device}_log")
        if document is None and not options.follow:
            raise UsageError(f"{options.device}: no log of it is in the database")
        entries = (document or {"log": []}).get("log")
        entries = entries if isinstance(entries, list) else [entries]
        for entry in _news(shown, entries):
            # A log of HimbeereCouch's has lines alone, and others may write there, too.
            at, name, line = entry if isinstance(entry, list) and len(entry) == 3 else ("-", "-", entry)
            if options.name in (None, name):
                print(f"{printable(at)} {printable(name)}: {printable(line)}", flush=True)
        if not options.follow:
            return 0
        shown = entries
        time.sleep(LOOK_AGAIN_S)


def _news(shown: list[Any], entries: list[Any]) -> list[Any]:
    """Those behind what was shown: a log of so many lines loses its first ones as others come."""
    for common in range(min(len(shown), len(entries)), 0, -1):
        if shown[-common:] == entries[:common]:
            return entries[common:]
    return entries
