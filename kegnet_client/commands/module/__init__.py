"""``kegnet-client module``: the list of its commands, which are the operator's."""

import argparse

from kegnet_client.commands.parser import Command, Parser
from kegnet_client.core.errors import ConfigError

COMMANDS = (
    Command("sign", "sign a program and print the document"),
    Command("push", "put signed documents into the database"),
    Command("remove", "stop a program on every device, by deleting its document"),
    Command("run", "run a command once on devices, and print its output"),
    Command("status", "show which programs each device runs"),
    Command("log", "print the output of a device's programs"),
    Command("revoke", "stop trusting a key on this device"),
    Command("discover", "find devices in this network, and announce the database's server to them"),
    Command("database", "create the database and its users"),
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
