"""``kegnet-client module``: the list of its commands, which are the operator's."""

import argparse

from kegnet_client.commands.parser import Command, Parser
from kegnet_client.core.errors import ConfigError

COMMANDS = (
    Command("sign", "make a signed document of a program, on stdout"),
    Command("push", "put signed documents into the database"),
    Command("remove", "stop a program on every device, by deleting its document"),
    Command("run", "have devices run a command once, and print what it says"),
    Command("status", "show which device runs what"),
    Command("log", "print what the programs of a device say"),
    Command("revoke", "let this device believe a key no more"),
    Command("discover", "find devices in this network, and announce the database's server to them"),
    Command("database", "make the database, and the users of devices"),
)


def add_arguments(parser: Parser) -> None:
    """Add the operator's commands."""
    parser.add_commands(__name__, COMMANDS, handler="module_handler")


def handle(options: argparse.Namespace) -> int:
    """Run one of them. Raises `ConfigError` where the extra is not installed."""
    try:
        code: int = options.module_handler(options)
    except ModuleNotFoundError as error:
        raise explain_missing(error) from None
    return code


def explain_missing(error: ModuleNotFoundError) -> Exception:
    """What to raise for a module that is not here."""
    if error.name != "rfc8785":
        return error
    return ConfigError(
        "programs from a database need their extra: sudo ./service/install, "
        "or in a virtual environment of your own pip install 'kegnet-client[runner]'"
    )
