"""``kegnet-client module log``: print what the programs of a device say."""

import argparse
import json
import time

from kegnet_client.commands.module.options import add_database, open_database
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError
from kegnet_client.runner.log_pages import Reader
from kegnet_client.runner.text import printable

LOOK_AGAIN_S = 2.0


def add_arguments(parser: Parser) -> None:
    """Add what ``module log`` takes."""
    parser.add_argument("device", metavar="MACID", help="the device, by its MacID")
    parser.add_argument("--name", help="of one program only")
    parser.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="for programs: an object a line, with at, name and line")
    add_database(parser)


def handle(options: argparse.Namespace) -> int:
    """Print the last lines, and then those that come."""
    reader = Reader(open_database(options), options.device)
    while True:
        entries = reader.read()
        if entries is None and not options.follow:
            raise UsageError(f"{options.device}: no log of it is in the database")
        for entry in entries or ():
            # A log of HimbeereCouch's has lines alone, and others may write there, too.
            at, name, line = entry if isinstance(entry, list) and len(entry) == 3 else (None, None, entry)
            if options.name in (None, name):
                print(_show(at, name, line, as_json=options.json), flush=True)
        if not options.follow:
            return 0
        time.sleep(LOOK_AGAIN_S)


def _show(at: object, name: object, line: object, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"at": at, "name": name, "line": line})
    at, name = ("-" if one is None else one for one in (at, name))
    return f"{printable(at)} {printable(name)}: {printable(line)}"
