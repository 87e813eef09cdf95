"""``kegnet-client enroll``: make this a device of a hub."""

import argparse
import os

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.enrolment.enroll import enroll


def add_arguments(parser: Parser) -> None:
    """Add what ``enroll`` takes."""
    parser.add_argument(
        "--replace",
        action="store_true",
        help="let this machine be another device than it is: its uuid, key and server are kept aside",
    )
    parser.add_argument("url", metavar="URL", help="the hub's address, such as https://hub:8443")
    parser.add_argument("code", metavar="CODE", help="what kegnet-client hub invite printed there")


def handle(options: argparse.Namespace) -> int:
    """Enrol the device, and print what comes next."""
    root = configuration.root(options)
    return enroll(root, configuration.SECTIONS, options.url, options.code, os.environ, replace=options.replace)
