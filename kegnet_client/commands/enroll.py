"""``kegnet-client enroll``: register this device with a hub."""

import argparse
import os

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import ConfigError, ServerRefusalError, UsageError
from kegnet_client.enrolment import card
from kegnet_client.enrolment.enroll import enroll, is_enrolled


def add_arguments(parser: Parser) -> None:
    """Add what ``enroll`` takes."""
    parser.add_argument(
        "--replace",
        action="store_true",
        help="let this machine be another device than it is: its uuid, key and server are kept aside",
    )
    parser.add_argument(
        "--boot",
        action="store_true",
        help=f"take URL and CODE from {card.BOOT_FILE} on the boot partition, and remove that file",
    )
    parser.add_argument("url", metavar="URL", nargs="?", help="the hub's address, such as https://hub:8443")
    parser.add_argument("code", metavar="CODE", nargs="?", help="what kegnet-client hub invite printed there")


def handle(options: argparse.Namespace) -> int:
    """Enrol the device, and print what comes next."""
    root = card.root_on_card(configuration.root(options))
    sections = configuration.SECTIONS
    if options.boot:
        if options.url is not None:
            raise UsageError("--boot takes URL and CODE from its file")
        path = card.find_boot_file()
        try:
            asked = card.read_boot_file(path)
            if not asked.replace and is_enrolled(root, asked.url):
                asked.remove()  # the power went before that could be done
                print(f"This is a device of {asked.url} already; {path} is removed.")
                return 0
            words = (asked.url, asked.code, os.environ)
            return enroll(root, sections, *words, replace=asked.replace, on_enrolled=asked.remove)
        except (ConfigError, ServerRefusalError, UsageError) as error:
            card.write_error(path, str(error))
            raise
    if options.url is None or options.code is None:
        raise UsageError("URL and CODE are what kegnet-client hub invite printed")
    return enroll(root, sections, options.url, options.code, os.environ, replace=options.replace)
