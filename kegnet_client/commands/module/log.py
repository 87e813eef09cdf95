"""``kegnet-client module log``: print what the programs of a device say."""

import argparse

from kegnet_client.commands.module.options import add_database, open_database
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError


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
    for at, name, line in document.get("log", []):
        if options.name in (None, name):
            print(f"{at} {name}: {line}")
    return 0
