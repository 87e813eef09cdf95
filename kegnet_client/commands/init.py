"""``kegnet-client init``: this device's uuid, key and configuration, or another place where its records go."""

import argparse
from pathlib import Path

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.enrolment.add_kegbot import add_kegbot
from kegnet_client.enrolment.provision import init


def add_arguments(parser: Parser) -> None:
    """Add what ``init`` takes."""
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--url", help="the server's address, such as https://kegnet.example/rest/v3")
    server.add_argument(
        "--kegbot",
        metavar="URL",
        help="deliver to this Kegbot server too, or alone, such as https://kegbot.example/api",
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the server's CA bundle (default: this system's)")


def handle(options: argparse.Namespace) -> int:
    """Make the device, or add to it; print what it is and what comes next."""
    root = configuration.root(options)
    if options.kegbot is not None:
        steps = add_kegbot(root, configuration.SECTIONS, options.kegbot, options.ca)
    else:
        made = init(root, configuration.SECTIONS, options.url, options.ca)
        print(f"uuid: {made.uuid}\n{made.public_pem}")
        steps = made.next_steps
    for step in steps:
        print(step)
    return 0
