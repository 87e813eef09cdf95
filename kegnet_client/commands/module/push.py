"""``kegnet-client module push``: put signed documents into the database."""

import argparse
import json
import sys

from kegnet_client.commands.module.options import add_database, open_database
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import DocumentError, UsageError


def add_arguments(parser: Parser) -> None:
    """Add what ``module push`` takes."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="what module sign has printed; - is stdin")
    add_database(parser)


def handle(options: argparse.Namespace) -> int:
    """Put each, in place of the one of the same id."""
    from kegnet_client.runner.statement import read_statement

    couch = open_database(options)
    for file in options.files:
        try:
            with sys.stdin if file == "-" else open(file, encoding="utf-8") as stream:  # noqa: PTH123 (also stdin)
                document = json.load(stream)
            if not isinstance(document, dict) or not isinstance(document.get("_id"), str):
                raise ValueError("it has no _id")
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{file}: cannot be read: {error}") from None
        try:
            statement = read_statement(document)
        except DocumentError as error:
            raise DocumentError(f"{file}: {error}") from None
        couch.replace(document)
        print(f"{document['_id']}: {statement.name} {statement.sequence} {statement.digest[:12]}")
    return 0
