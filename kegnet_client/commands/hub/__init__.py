"""``kegnet-client hub``: the list of its commands.

What the hub needs beyond the client is imported by the command that runs, so that a missing extra is one clear
message and ``--help`` needs none.
"""

import argparse

from kegnet_client.commands.parser import Command, Parser
from kegnet_client.core.errors import ConfigError

COMMANDS = (
    Command("init", "make a certificate authority, a server certificate and a token"),
    Command("run", "serve until stopped"),
    Command("certificate", "whom the hub's certificate is for, and issuing it for another name"),
    Command("status", "what is left at each tap, and which devices were heard of"),
    Command("taps", "the taps, their meters and thermometers"),
    Command("kegs", "the kegs, what is left in them, and tapping another one"),
    Command("calibrate", "say what a pulse of a meter is worth, by a measured pour"),
    Command("adjust", "say what a pour was"),
    Command("profiles", "temperatures by days, and where they run"),
    Command("alarms", "what is wrong, and acknowledging it"),
    Command("settings", "how the hub shows things"),
    Command("invite", "print the command that enrols a device, or lets one come back"),
    Command("invitations", "the codes that nobody has used yet, and cancelling them"),
    Command("devices", "who may send"),
    Command("token", "who may read or change what"),
    Command("login-link", "print a link that logs one browser in"),
    Command("bridge", "poll BrewPi controllers, and publish at the hub what they say"),
    Command("check", "look at configuration, certificate, token, database, disk and clock"),
    Command("backup", "write the hub with all it holds to one file, while it runs"),
    Command("restore", "make a hub of such a file"),
    Command("export", "write all records with their proofs to one signed file, while the hub runs"),
    Command("verify-export", "prove such a file, on a machine that has nothing else of the hub"),
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
