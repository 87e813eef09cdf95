"""``kegnet-client module database``: make the database, and the users of devices and operators."""

import argparse
import getpass
import json
from pathlib import Path

from kegnet_client.commands.module.options import add_database, open_database
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError


def add_arguments(parser: Parser) -> None:
    """Add what ``module database`` takes."""
    parser.add_argument("action", choices=("init", "add-device", "add-operator"), help="what to do, as administrator")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="files of runner identity --json, or an operator's user"
    )
    add_database(parser)


def handle(options: argparse.Namespace) -> int:
    """Do the action."""
    from kegnet_client.runner import database

    couch = open_database(options)
    if bool(options.names) == (options.action == "init"):
        raise UsageError("init takes no names, the other actions take one or more")
    if options.action == "init":
        database.make_database(couch)
        print(f"{couch.database} is ready at {couch.url}")
    for name in options.names:
        if options.action == "add-device":
            user, password, names = _read_identity(Path(name))
            database.make_user(couch, user, password, database.DEVICE_ROLE, *names)
        else:
            user = name
            database.make_user(couch, user, getpass.getpass(f"password for {user}: "), database.OPERATOR_ROLE)
        print(f"{user} may use {couch.database}")
    return 0


def _read_identity(path: Path) -> tuple[str, str, list[str]]:
    """The user, its password, and what documents may call the device."""
    try:
        identity = json.loads(path.read_text("utf-8"))
        names = [str(identity["mac_id"])] + ([str(identity["uuid"]).lower()] if identity["uuid"] else [])
        return str(identity["user"]), str(identity["password"]), names
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path}: is not what kegnet-client runner identity --json prints ({error})") from None
