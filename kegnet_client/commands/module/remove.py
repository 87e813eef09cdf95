"""``kegnet-client module remove``: stop a program on every device, by deleting its document."""

import argparse

from kegnet_client.commands.module.options import add_database, open_database
from kegnet_client.commands.parser import Parser


def add_arguments(parser: Parser) -> None:
    """Add what ``module remove`` takes."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="of the document, as module push has printed it")
    add_database(parser)


def handle(options: argparse.Namespace) -> int:
    """Delete each that is there."""
    couch = open_database(options)
    for identifier in options.ids:
        couch.update(identifier, lambda old: {"_id": old["_id"], "_deleted": True} if old else None)
        print(f"{identifier}: deleted; its devices stop it")
    return 0
