"""``kegnet-client demo``: the whole way on this machine, with a hub of its own."""

import argparse

from kegnet_client.commands.parser import Parser
from kegnet_client.demo.show import demo


def add_arguments(parser: Parser) -> None:
    """Add what ``demo`` takes."""
    parser.add_argument("--once", action="store_true", help="do one round, check it and end")


def handle(options: argparse.Namespace) -> int:
    """Show it until Ctrl-C, or once."""
    return demo(once=options.once)
