"""``kegnet-client hub restore``: a hub out of the file that ``hub backup`` wrote."""

import argparse
import json
import os
import sys
from pathlib import Path

from kegnet_client.commands.hub.actions import add_json
from kegnet_client.commands.hub.home import add_directory, find_home, local_time
from kegnet_client.commands.hub.progress import Steps
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError


def add_arguments(parser: Parser) -> None:
    """Add what ``hub restore`` takes."""
    add_directory(parser)
    add_json(parser)
    parser.add_argument("file", metavar="FILE", help="what `hub backup` wrote; - is the standard input")


def handle(options: argparse.Namespace) -> int:
    """Restore it."""
    from kegnet_client.host.regular_file import open_regular
    from kegnet_client.hub import backup

    home = find_home(options)
    if options.file == "-":
        with Steps() as steps:
            made_ms, has_database = backup.restore(home, sys.stdin.buffer, steps.step_bytes)
    else:
        try:
            fd = open_regular(Path(options.file))
        except OSError as error:
            raise UsageError(f"{options.file} cannot be read: {error.strerror}") from None
        with os.fdopen(fd, "rb") as stream, Steps() as steps:
            made_ms, has_database = backup.restore(home, stream, steps.step_bytes)
    if options.json:
        print(json.dumps({"directory": os.fspath(home.directory), "made_ms": made_ms, "has_database": has_database}))
        return 0
    made = local_time(made_ms)
    print(f"The hub in {home.directory} is the one that was backed up at {made}.")
    if has_database:
        print(f"What the hub acknowledged after {made} is missing here, and devices have removed it.")
    else:
        print("Its database is not in the backup: restore that with pg_restore or psql before the hub runs.")
    print("A device that changed its key meanwhile is refused until sudo kegnet-client rotate-key is run there.")
    print("Next: kegnet-client hub run; devices go on by themselves if it answers under the same name and port.")
    return 0
