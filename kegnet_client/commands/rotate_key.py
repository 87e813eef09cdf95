"""``kegnet-client rotate-key``: give this device another private key."""

import argparse

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.enrolment.rotate_key import rotate_key


def add_arguments(_parser: Parser) -> None:
    """It takes nothing."""


def handle(options: argparse.Namespace) -> int:
    """Change the key, or go on with it."""
    return rotate_key(configuration.load(options))
