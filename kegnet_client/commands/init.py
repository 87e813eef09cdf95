"""``kegnet-client init``: this device's uuid, key and configuration."""

import argparse
from pathlib import Path

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.enrolment.provision import init


def add_arguments(parser: Parser) -> None:
    """Add what ``init`` takes."""
    parser.add_argument("--url", required=True, help="the server's address, such as https://kegnet.example/rest/v3")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the server's CA bundle (default: this system's)")


def handle(options: argparse.Namespace) -> int:
    """Make the device, and print what it is and what comes next."""
    made = init(configuration.root(options), configuration.SECTIONS, options.url, options.ca)
    print(f"uuid: {made.uuid}\n{made.public_pem}")
    for step in made.next_steps:
        print(step)
    return 0
