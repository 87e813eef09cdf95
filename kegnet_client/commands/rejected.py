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


def add_arguments(parser: Parser) -> None:
    """Add what ``rejected`` takes."""
    parser.add_argument("action", choices=("list", "retry", "discard"), help="what to do")
    parser.add_argument("--sink", metavar="NAME", help="those that this one of several sinks rejected")
    parser.add_argument("--all", action="store_true", help="discard: all that are listed")
    parser.add_argument("--json", action="store_true", help="list: for programs")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to retry (default: all) or to discard")


def handle(options: argparse.Namespace) -> int:
    """Do the action."""
    _judge(options)
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


def _judge(options: argparse.Namespace) -> None:
    action, names = options.action, options.names
    if options.json and action != "list":
        raise UsageError("--json is for rejected list")
    if options.all and action != "discard":
        raise UsageError("--all is for rejected discard")
    if action == "list" and names:
        raise UsageError("rejected list takes no names")
    # What is deleted is gone for good: it takes a word for it.
    if action == "discard" and bool(names) == options.all:
        raise UsageError("rejected discard takes the names of records, or --all")


def _list(spool: Path, *, is_json: bool) -> int:
    found = list_rejected(spool)
    if is_json:
        print(json.dumps([{"name": printable(one.name), "reason": one.reason} for one in found], indent=2))
        return 0
    for one in found:
        print(f"{printable(one.name)}  {one.reason}")
    return 0
