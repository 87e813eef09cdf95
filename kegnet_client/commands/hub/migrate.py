"""``kegnet-client hub migrate``: the hub moved to another database."""

import argparse
import json
import os
from collections.abc import Callable
from contextlib import ExitStack

from kegnet_client.commands.hub.actions import add_json
from kegnet_client.commands.hub.database_url import add_password_file, complete_url
from kegnet_client.commands.hub.home import add_directory, find_home
from kegnet_client.commands.hub.progress import Progress
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError


def add_arguments(parser: Parser) -> None:
    """Add what ``hub migrate`` takes."""
    add_directory(parser)
    add_json(parser)
    parser.add_argument(
        "--to",
        required=True,
        metavar="URL",
        help="an empty database: postgresql+psycopg://USER@HOST/NAME, or sqlite:////PATH of a new file",
    )
    add_password_file(parser, "--password-file")


def handle(options: argparse.Namespace) -> int:
    """Copy all of it, compare every row, and let hub.conf name the new database."""
    from kegnet_client.hub import move
    from kegnet_client.hub.home import DATABASE_NAME

    home = find_home(options)
    target = complete_url(options.to, "--to", options.password_file)
    source, own = home.database(), home.directory / DATABASE_NAME
    if move.name_of(source) == move.name_of(target):
        # Whoever has changed hub.conf by hand means the file that was the hub's before.
        if move.name_of(own) == move.name_of(target) or not own.exists():
            raise UsageError(f"the hub's database is {move.name_of(target)} already")
        source = own
    with ExitStack() as stack:

        def on_total(total: int) -> Callable[[], None]:
            return stack.enter_context(Progress(total, "rows copied and compared")).step

        move.move(source, target, on_total)
    is_own = move.name_of(own) == move.name_of(target)
    file = None if options.password_file is None else options.password_file.absolute()
    home.use_database(None if is_own else options.to, None if is_own else file)
    if options.json:
        print(json.dumps({"database": move.name_of(options.to), "left": move.name_of(source)}))
        return 0
    print(f"The hub's database is {move.name_of(options.to)} now: every row was compared, and hub.conf names it.")
    print(f"{move.name_of(source)} takes nothing more; remove it when you like.")
    if file is None and os.environ.get("PGPASSWORD"):
        print("The hub needs PGPASSWORD, too: set it for its service, or write databasePasswordFile into hub.conf.")
    print("Next: start the hub again (sudo systemctl restart kegnet-hub); until then its devices wait.")
    return 0
