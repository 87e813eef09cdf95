"""``kegnet-client hub backup``: the hub in one file, while it runs."""

import argparse
import json
import os
import sys
from pathlib import Path

from kegnet_client.commands.hub.actions import add_json
from kegnet_client.commands.hub.home import add_directory, find_home
from kegnet_client.commands.hub.progress import Steps
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError


def add_arguments(parser: Parser) -> None:
    """Add what ``hub backup`` takes."""
    add_directory(parser)
    add_json(parser)
    parser.add_argument("file", metavar="FILE", help="a new file; - is the standard output")
    parser.add_argument(
        "--without-database", action="store_true", help="all but the database (PostgreSQL: see pg_dump)"
    )


def handle(options: argparse.Namespace) -> int:
    """Back it up."""
    from kegnet_client.hub import backup
    from kegnet_client.hub.app import wall_ms

    home = find_home(options)
    with_database = not options.without_database
    if with_database and not backup.is_sqlite(home):
        raise UsageError(
            "the hub's database is PostgreSQL: pg_dump backs it up, and this with --without-database takes all the rest"
        )
    os.nice(19)  # the hub and its devices come first: their answers took three times as long beside it
    if options.file == "-":
        if options.json:
            raise UsageError("--json is told on the standard output, where the backup goes: name a file")
        if sys.stdout.isatty():
            raise UsageError("a backup is no text for a terminal: redirect the output, or name a file")
        with Steps() as steps:
            backup.stream_out(home, sys.stdout.buffer, wall_ms(), with_database=with_database, on_step=steps.step_bytes)
        return 0
    file = Path(options.file).absolute()
    with Steps() as steps:
        size = backup.back_up(home, file, wall_ms(), with_database=with_database, on_step=steps.step_bytes)
    if options.json:
        print(json.dumps({"file": os.fspath(file), "bytes": size, "has_database": with_database}))
        return 0
    print(f"{file} holds the hub in {home.directory} ({size / 1e6:.1f} MB).")
    print("It holds the hub's secrets, too: keep it where nobody else reads it.")
    if not with_database:
        print("It does not hold the database.")
    return 0
