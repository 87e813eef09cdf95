"""``kegnet-client module log``: print what the programs of a device say."""

import argparse

from kegnet_client.commands.module.options import add_database, open_database
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError
from kegnet_client.runner.text import printable


def add_arguments(parser: Parser) -> None:
    """Add what ``module log`` takes."""
    parser.add_argument("device", metavar="MACID", help="the device, by its MacID")
    parser.add_argument("--name", help="of one program only")
    add_database(parser)


def handle(options: argparse.Namespace) -> int:
    """Print the last lines."""
    document = open_database(options).get(f"{options.device}_log")
    if document is None:
        raise UsageError(f"{options.device}: no log of it is in the database")
    entries = document.get("log")
    for entry in entries if isinstance(entries, list) else [entries]:
        # A log of HimbeereCouch's has lines alone, and others may write there, too.
        at, name, line = entry if isinstance(entry, list) and len(entry) == 3 else ("-", "-", entry)
        if options.name in (None, name):
            print(f"{printable(at)} {printable(name)}: {printable(line)}")
    return 0
