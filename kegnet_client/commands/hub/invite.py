"""``kegnet-client hub invite``: the command that enrols one device, or many, or lets one come back.

Many are made in one transaction: all of them, or none.
"""

import argparse
import csv
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kegnet_client.commands.hub.devices import check_name
from kegnet_client.commands.hub.home import add_directory, find_home, local_time, open_store
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError
from kegnet_client.core.wire.base_url import is_loopback
from kegnet_client.core.wire.enrolment import format_code
from kegnet_client.host.regular_file import read_regular
from kegnet_client.hub import DEFAULT_PORT
from kegnet_client.hub.entrance import enrol_command, reachable_host, url_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from kegnet_client.hub.store.devices import Device

MAX_VALID_MINUTES = 7 * 24 * 60
MAX_COUNT = 1000
_MAX_NAMES_BYTES = 256 * 1024


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
    who.add_argument(
        "--names", metavar="FILE", type=Path, help="make one for each line of this file, which is its name"
    )
    parser.add_argument(
        "--count", type=int, metavar="COUNT", help="make so many; with --names, as many as that file has to have"
    )
    parser.add_argument("--csv", action="store_true", help="as a table: name, url, code, expires and the command")
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

    names = _names(options)
    if not 1 <= options.valid_minutes <= MAX_VALID_MINUTES:
        raise UsageError(f"--valid-minutes takes 1 to {MAX_VALID_MINUTES} (a week)")
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

    def work(connection: "Connection") -> "tuple[list[bytes], Device | None]":
        if options.replace is not None:
            device = devices.find(connection, options.replace)
            return [enrolment.make_invitation(connection, None, expires_ms, device.uuid)], device
        for name in names:
            if name is not None:
                devices.refuse_taken(connection, name)
        return [enrolment.make_invitation(connection, name, expires_ms) for name in names], None

    with closing(open_store(home)) as store:
        secrets, replaced = store.write(work)
    url, uuid = url_of(host, port), None if replaced is None else replaced.uuid
    if options.csv:
        table = csv.writer(sys.stdout)
        table.writerow(("name", "url", "code", "expires", "command"))
        for name, secret in zip(names, secrets, strict=True):
            called = replaced.name if replaced is not None else name or ""
            code, command = format_code(ca_der, secret, uuid), enrol_command(url, ca_der, secret, uuid)
            table.writerow((called, url, code, local_time(expires_ms), command))
        return 0
    where = "on the device" if replaced is None else f"on the device that is to be {replaced.name} ({replaced.uuid})"
    if len(secrets) > 1:
        where = "each on one device, in this order"
    print(f"Within {options.valid_minutes} minutes, once, {where}:\n", file=sys.stderr)
    sys.stderr.flush()
    for secret in secrets:
        print(enrol_command(url, ca_der, secret, uuid))
    if is_loopback(host):
        print(
            f"\nThis works on this machine alone: the hub's certificate is for {', '.join(hosts)}. "
            "`kegnet-client hub certificate --host NAME` makes it one for another name.",
            file=sys.stderr,
        )
    return 0


def _names(options: argparse.Namespace) -> list[str | None]:
    """What the devices will be called, one for each invitation; None is no name."""
    if options.replace is not None or options.name is not None:
        if options.count not in (None, 1):
            raise UsageError("--count goes with --names FILE, or by itself: a name is one device's")
        return [None if options.name is None else check_name(options.name)]
    count = options.count
    if count is not None and not 1 <= count <= MAX_COUNT:
        raise UsageError(f"--count takes 1 to {MAX_COUNT}")
    if options.names is None:
        return [None] * (count or 1)
    names = [check_name(line) for line in _lines(options.names)]
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise UsageError(f"{options.names}: {twice!r} stands there twice, and is to be one device's name")
    if not names or len(names) > MAX_COUNT or count not in (None, len(names)):
        expected = f"1 to {MAX_COUNT}" if count is None else str(count)
        raise UsageError(f"{options.names} has {len(names)} names, expected {expected}: one a line")
    return list(names)


def _lines(file: Path) -> list[str]:
    try:
        text = read_regular(file, _MAX_NAMES_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url.rstrip("/"))
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "https" or not parts.hostname or url.rstrip("/") != f"https://{parts.netloc}" or "@" in url:
        raise UsageError(f"--url {url!r}: write it as https://HOST:{DEFAULT_PORT}")
    return parts.hostname, 443 if port is None else port
