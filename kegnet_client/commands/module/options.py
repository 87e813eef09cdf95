"""Options that several of the operator's commands have: the database, the key, whom a document is for."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError

if TYPE_CHECKING:
    from kegnet_client.runner.compose import Address
    from kegnet_client.runner.couch import Couch

DEFAULT_DATABASE = "nedm/raspberries"


def add_database(parser: Parser) -> None:
    """Add what says where the database is."""
    parser.add_argument("--url", required=True, metavar="URL", help="the CouchDB server, such as https://couch:6984")
    parser.add_argument(
        "--database", default=DEFAULT_DATABASE, metavar="NAME", help=f"its database ({DEFAULT_DATABASE})"
    )
    parser.add_argument("--login", type=Path, metavar="FILE", help="a file with one line USER:PASSWORD")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="its CA certificates (default: the system's)")


def open_database(options: argparse.Namespace) -> "Couch":
    """The database that the command line names."""
    from kegnet_client.runner.couch import Couch, read_login

    login = None if options.login is None else read_login(options.login)
    try:
        return Couch(options.url, options.database, login, options.ca)
    except ValueError as error:
        raise UsageError(f"--url {options.url!a} {error}") from None


def to_hours(text: str) -> float:
    """A number of hours, ten years at most."""
    return _to_number(text, 10 * 366 * 24)


def to_seconds(text: str) -> float:
    """A number of seconds, a day at most."""
    return _to_number(text, 24 * 3600)


def _to_number(text: str, most: int) -> float:
    number = float(text)
    # In this order, so that what is no number at all is refused, too.
    if not 0 < number <= most:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {most}")
    return number


def add_signing(parser: Parser, *, is_command: bool) -> None:
    """Add the key, whom it is for, and what it may do."""
    parser.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="your SSH key (with an agent, its public half)"
    )
    parser.add_argument(
        "--to", action="append", default=[], metavar="DEVICE", help="uuid or MacID, or all; once for each device"
    )
    parser.add_argument(
        "--expires", type=to_hours, default=1.0 if is_command else None, metavar="HOURS", help="from now; not run later"
    )
    parser.add_argument("--network", action="store_true", help="it may use the network")
    parser.add_argument("--spool", action="store_true", help="it may write records into the spool")
    parser.add_argument("--device", action="append", default=[], metavar="PATH", help="it may use this, once for each")
    parser.add_argument(
        "--gpio", action="append", default=[], metavar="LINE", help="it may use this, such as /dev/gpiochip0:17"
    )
    parser.add_argument("--memory", type=int, metavar="MIB", help="how much it may have (default: 128)")
    parser.add_argument("--seconds", type=int, metavar="S", help="how long it may run")


def address(options: argparse.Namespace, now_ms: int) -> "Address":
    """What the options say."""
    from kegnet_client.runner.compose import Address

    asked: Mapping[str, Any] = {
        "network": options.network or None,
        "spool": options.spool or None,
        "devices": options.device or None,
        "gpio": options.gpio or None,
        "memory_mib": options.memory,
        "seconds": options.seconds,
    }
    return Address(
        name=getattr(options, "name", None),
        sequence=getattr(options, "sequence", None),
        targets=options.to,
        expires_ms=None if options.expires is None else now_ms + int(options.expires * 3_600_000),
        permissions={name: value for name, value in asked.items() if value is not None},
    )
