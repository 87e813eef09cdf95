"""How much a command logs: ``--verbose`` and ``--quiet``."""

import argparse
import logging

from kegnet_client.commands.parser import Parser


def add_verbosity(parser: Parser) -> None:
    """Add them."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--verbose", action="store_true", help="log each request to a server, too")
    group.add_argument("--quiet", action="store_true", help="log warnings and errors only")


def level_of(options: argparse.Namespace) -> int:
    """From which level on lines are logged."""
    if options.verbose:
        return logging.DEBUG
    return logging.WARNING if options.quiet else logging.INFO
