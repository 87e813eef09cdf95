"""``kegnet-client hub invite``: the command that enrols one device, or lets one come back."""

import argparse
import sys
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kegnet_client.commands.hub.devices import check_name
from kegnet_client.commands.hub.home import add_directory, find_home, open_store
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError
from kegnet_client.core.wire.base_url import is_loopback
from kegnet_client.hub import DEFAULT_PORT
from kegnet_client.hub.entrance import enrol_command, reachable_host, url_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from kegnet_client.hub.store.devices import Device

MAX_VALID_MINUTES = 7 * 24 * 60


def add_arguments(parser: Parser) -> None:
    """Add what ``hub invite`` takes."""
    add_directory(parser)
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--name", help="what the log and the lists will call it (default: its uuid's first part)")
    who.add_argument(
        "--replace",
        metavar="NAME",
        help="let the device of this name or uuid come back with another key: it was revoked, reflashed or lost its",
    )
    parser.add_argument(
        "--valid-minutes",
        type=int,
        default=60,
        metavar="MINUTES",
        help="how long it may be used (default: %(default)s)",
    )
    parser.add_argument(
        "--url",
        metavar="URL",
        help="where the device reaches the hub (default: its certificate's name, and its port)",
    )


def handle(options: argparse.Namespace) -> int:
    """Print the command, alone on stdout."""
    from kegnet_client.hub import pki
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.hub_section import HUB
    from kegnet_client.hub.store import devices, enrolment

    if not 1 <= options.valid_minutes <= MAX_VALID_MINUTES:
        raise UsageError(f"--valid-minutes takes 1 to {MAX_VALID_MINUTES} (a week)")
    name = None if options.name is None else check_name(options.name)
    home = find_home(options)
    hosts = home.hosts()
    if options.url is None:
        host = reachable_host(hosts)
        port = home.config().section(HUB).port
    else:
        host, port = _host_and_port(options.url)
    if host not in hosts:
        raise UsageError(
            f"--url: the hub's certificate is for {', '.join(hosts)}, so no device would trust {host}; "
            f"`kegnet-client hub certificate --host {host}` makes it one for that name, too"
        )
    expires_ms = wall_ms() + options.valid_minutes * 60_000
    ca_der = pki.ca_der(home.ca())

    def work(connection: "Connection") -> "tuple[bytes, Device | None]":
        if options.replace is not None:
            device = devices.find(connection, options.replace)
            return enrolment.make_invitation(connection, None, expires_ms, device.uuid), device
        if name is not None:
            devices.refuse_taken(connection, name)
        return enrolment.make_invitation(connection, name, expires_ms), None

    with closing(open_store(home)) as store:
        secret, replaced = store.write(work)
    where = "on the device" if replaced is None else f"on the device that is to be {replaced.name} ({replaced.uuid})"
    print(f"Within {options.valid_minutes} minutes, once, {where}:\n", file=sys.stderr)
    sys.stderr.flush()
    print(enrol_command(url_of(host, port), ca_der, secret, None if replaced is None else replaced.uuid))
    if is_loopback(host):
        print(
            f"\nThis works on this machine alone: the hub's certificate is for {', '.join(hosts)}. "
            "`kegnet-client hub certificate --host NAME` makes it one for another name.",
            file=sys.stderr,
        )
    return 0


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url.rstrip("/"))
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "https" or not parts.hostname or url.rstrip("/") != f"https://{parts.netloc}" or "@" in url:
        raise UsageError(f"--url {url!r}: write it as https://HOST:{DEFAULT_PORT}")
    return parts.hostname, 443 if port is None else port
