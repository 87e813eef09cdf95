"""``kegnet-client hub``: the list of its commands.

What the hub needs beyond the client is imported by the command that runs, so that a missing extra is one clear
message and ``--help`` needs none.
"""

import argparse

from kegnet_client.commands.parser import Command, Parser
from kegnet_client.core.errors import ConfigError

COMMANDS = (
    Command("init", "create a certificate authority, a server certificate and a token"),
    Command("run", "serve until stopped"),
    Command("certificate", "whom the hub's certificate is for, and issuing it for another name"),
    Command("status", "show what is left at each tap, and when each device was last seen"),
    Command("taps", "list taps with their meters and thermometers, add or end one"),
    Command("kegs", "list kegs and what is left in them, tap, change or end one"),
    Command("beverages", "list what is in the kegs, and change it"),
    Command("calibrate", "calibrate a flow meter with a measured pour"),
    Command("adjust", "correct a pour"),
    Command("profiles", "list temperature profiles, add, start or stop one"),
    Command("alarms", "list alarms, and acknowledge one"),
    Command("settings", "show or change how the hub displays things"),
    Command("invite", "print the command that enrols a device, or lets one come back"),
    Command("invitations", "list unused invitation codes, and cancel them"),
    Command("devices", "list and manage devices"),
    Command("token", "make, list or revoke access tokens"),
    Command("login-link", "print a link that logs one browser in"),
    Command("bridge", "poll BrewPi controllers and publish their data at the hub"),
    Command("check", "test configuration, certificate, token, database, disk and clock"),
    Command("backup", "back up the hub to one file, while it runs"),
    Command("restore", "restore a hub from such a file"),
    Command("export", "write all records with their proofs to one signed file, while the hub runs"),
    Command("verify-export", "verify such a file, on any machine"),
    Command("migrate", "move the hub to another database: SQLite to PostgreSQL, or back"),
    Command("verify", "verify the signature of every stored record again"),
)
_EXTRA = {"fastapi", "fastapi_offline", "sqlalchemy", "uvicorn", "pydantic", "starlette", "websockets", "segno"}


def add_arguments(parser: Parser) -> None:
    """Add the hub's commands."""
    parser.add_commands(__name__, COMMANDS, handler="hub_handler")


def handle(options: argparse.Namespace) -> int:
    """Run one of them. Raises `ConfigError` where an extra is not installed."""
    try:
        code: int = options.hub_handler(options)
    except ModuleNotFoundError as error:
        if error.name == "psycopg":
            raise ConfigError(
                "a PostgreSQL database needs psycopg: sudo ./service/install --hub (on a 64-bit system), "
                "or in a virtual environment of your own pip install 'kegnet-client[postgresql]'"
            ) from None
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigError(
            "the hub needs its extra: sudo ./service/install --hub, "
            "or in a virtual environment of your own pip install 'kegnet-client[hub]'"
        ) from None
    return code
