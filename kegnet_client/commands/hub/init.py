"""``kegnet-client hub init``: a certificate authority, a server certificate, a token and a store."""

import argparse
import datetime
import socket
from contextlib import closing

from kegnet_client.commands.hub.database_url import add_password_file, complete_url
from kegnet_client.commands.hub.home import add_directory, find_home, open_store
from kegnet_client.commands.parser import Parser


def add_arguments(parser: Parser) -> None:
    """Add what ``hub init`` takes."""
    add_directory(parser)
    parser.add_argument(
        "--host",
        action="append",
        metavar="NAME",
        help="name or address that devices will use, may be repeated (default: this machine's name, the same with "
        ".local, its addresses, and localhost)",
    )
    parser.add_argument(
        "--database", metavar="URL", help="postgresql+psycopg://USER@HOST/NAME (default: a SQLite file)"
    )
    add_password_file(parser, "--database-password-file")


def handle(options: argparse.Namespace) -> int:
    """Make the hub in its directory."""
    from kegnet_client.host.network import own_addresses
    from kegnet_client.hub import pki
    from kegnet_client.hub.entrance import default_hosts
    from kegnet_client.hub.store.records import Store

    hosts = [pki.check_host(host) for host in options.host or default_hosts(socket.gethostname(), own_addresses())]
    home = find_home(options)
    home.refuse_if_initialised()
    if options.database is not None:
        # A database that cannot be reached is found out before anything is made.
        with closing(Store(complete_url(options.database, "--database", options.database_password_file))) as store:
            store.prepare()
    now = datetime.datetime.now(datetime.UTC)
    with home.initialising(list(dict.fromkeys(hosts)), options.database, now) as made:
        if options.database_password_file is not None:
            made.use_database(options.database, options.database_password_file.absolute())
        with closing(open_store(made)):
            pass
    print(f"The hub's directory is {home.directory}, its certificate is for {', '.join(hosts)}.")
    print(f"Devices trust it with {home.ca_certificate}; the token for reading is in {home.token_file}.")
    print("It is made for other names with kegnet-client hub certificate --host NAME, at any time.")
    print("Next: kegnet-client hub run; then kegnet-client hub invite for each device, which prints what to run there.")
    print("For a device that has its key already: kegnet-client hub devices add UUID PUBLIC_KEY.pem.")
    return 0
