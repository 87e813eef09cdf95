"""``kegnet-client hub certificate``: whom the hub's certificate is for, and issuing it for another name.

It is issued by the same CA, so that no device has to enrol again, and for the same key. A hub that runs takes it
within `kegnet_client.hub.serve.RENEWAL_CHECK_S`.
"""

import argparse
import datetime

from kegnet_client.commands.hub.home import add_directory, find_home
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import ConfigError, UsageError


def add_arguments(parser: Parser) -> None:
    """Add what ``hub certificate`` takes."""
    add_directory(parser)
    parser.add_argument(
        "--host",
        action="append",
        metavar="NAME",
        help="issue it for this name or address, too, may be repeated; the first is what invitations say from then on",
    )
    parser.add_argument(
        "--only",
        action="store_true",
        help="for the names of --host alone: devices that know the hub by another are refused",
    )


def handle(options: argparse.Namespace) -> int:
    """Show the certificate, after it was issued anew if there is a name for it."""
    from kegnet_client.hub import pki

    if options.only and not options.host:
        raise UsageError("--only goes with --host NAME")
    home = find_home(options)
    now = datetime.datetime.now(datetime.UTC)
    if options.host:
        if pki.clock_is_wrong(now):
            raise ConfigError(
                f"this machine's clock shows {now:%Y-%m-%d}, which is in the past: set it (timedatectl), then again"
            )
        hosts = [pki.check_host(host) for host in options.host]
        if not options.only:
            hosts += home.hosts()
        home.issue_certificate(list(dict.fromkeys(hosts)), now)
        print("Issued anew by the same CA: devices go on as they are, and a hub that runs takes it within seconds.")
    _, end = pki.life_of(home.server_pair()[0].read_bytes(), "the server's")
    print(f"The hub's certificate is for {', '.join(home.hosts())}, good until {end:%Y-%m-%d}.")
    return 0
