"""``kegnet-client rejected``: list rejected records, put them back, or delete them."""

import argparse
import json
from pathlib import Path

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError
from kegnet_client.spool.directory import printable
from kegnet_client.spool.fan_out import find_queues, queue_path
from kegnet_client.spool.rejected import discard, list_rejected, retry
from kegnet_client.spool.section import SPOOL

ACTIONS = {
    "list": "list the rejected records, each with its reason",
    "retry": "put rejected records back, under new names",
    "discard": "delete rejected records for good",
}


def add_arguments(parser: Parser) -> None:
    """Add the actions, each with what it takes."""
    actions = parser.add_actions(ACTIONS)
    for action in actions.values():
        action.add_argument("--sink", metavar="NAME", help="those that this one of several sinks rejected")
    actions["list"].add_argument("--json", action="store_true", help="for programs")
    actions["retry"].add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    actions["discard"].add_argument("--all", action="store_true", help="all that are listed")
    actions["discard"].add_argument("names", nargs="*", metavar="NAME", help="which")


def handle(options: argparse.Namespace) -> int:
    """Do the action."""
    # What is deleted is gone for good: none is deleted because its name was forgotten.
    if options.action == "discard" and bool(options.names) == options.all:
        raise UsageError("rejected discard takes the names of records, or --all")
    spool = configuration.load(options).section(SPOOL).directory
    if options.sink:
        queues = find_queues(spool)
        if options.sink not in queues:
            known = f"; there are {', '.join(queues)}" if queues else ""
            raise UsageError(f"no sink {options.sink} has a queue{known}")
        spool = queue_path(spool, options.sink)
    if options.action == "list":
        return _list(spool, is_json=options.json)
    for name in options.names or [one.name for one in list_rejected(spool)]:
        if options.action == "retry":
            print(f"{printable(name)} waits again as {printable(retry(spool, name))}")
        else:
            discard(spool, name)
            print(f"{printable(name)} is deleted")
    return 0


def _list(spool: Path, *, is_json: bool) -> int:
    found = list_rejected(spool)
    if is_json:
        print(json.dumps([{"name": printable(one.name), "reason": one.reason} for one in found], indent=2))
        return 0
    for one in found:
        print(f"{printable(one.name)}  {one.reason}")
    return 0
