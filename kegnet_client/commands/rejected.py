"""``kegnet-client rejected``: list rejected records or put them back."""

import argparse

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError
from kegnet_client.spool.directory import printable
from kegnet_client.spool.fan_out import find_queues, queue_path
from kegnet_client.spool.rejected import list_rejected, retry
from kegnet_client.spool.section import SPOOL


def add_arguments(parser: Parser) -> None:
    """Add what ``rejected`` takes."""
    parser.add_argument("action", choices=("list", "retry"), help="what to do")
    parser.add_argument("--sink", metavar="NAME", help="those that this one of several sinks rejected")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to retry (default: all)")


def handle(options: argparse.Namespace) -> int:
    """Do the action."""
    spool = configuration.load(options).section(SPOOL).directory
    if options.sink:
        queues = find_queues(spool)
        if options.sink not in queues:
            known = f"; there are {', '.join(queues)}" if queues else ""
            raise UsageError(f"no sink {options.sink} has a queue{known}")
        spool = queue_path(spool, options.sink)
    if options.action == "list":
        if options.names:
            raise UsageError("rejected list takes no names")
        for one in list_rejected(spool):
            print(f"{printable(one.name)}  {one.reason}")
        return 0
    for name in options.names or [one.name for one in list_rejected(spool)]:
        print(f"{printable(name)} waits again as {printable(retry(spool, name))}")
    return 0
