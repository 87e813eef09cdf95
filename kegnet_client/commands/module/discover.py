"""``kegnet-client module discover``: find devices in this network, and announce the database's server to them."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kegnet_client.commands.module.options import to_hours, to_seconds
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import TransportError, UsageError
from kegnet_client.host.clock import Clock
from kegnet_client.runner.discovery import BROADCAST, QUESTION, find_devices


def add_arguments(parser: Parser) -> None:
    """Add what ``module discover`` takes."""
    parser.add_argument("--announce", metavar="URL", help="have them take this CouchDB server; takes --key")
    parser.add_argument("--key", type=Path, metavar="FILE", help="your SSH key (with an agent, its public half)")
    parser.add_argument("--to", action="append", default=[], metavar="DEVICE", help="uuid or MacID (default: all)")
    parser.add_argument("--expires", type=to_hours, default=1.0, metavar="HOURS", help="from now; not taken later")
    parser.add_argument("--broadcast", default=BROADCAST, metavar="ADDRESS", help=f"whom to ask ({BROADCAST})")
    parser.add_argument("--wait", type=to_seconds, default=3.0, metavar="S", help="after the last answer, seconds (3)")
    parser.add_argument("--json", action="store_true", help="for programs")


def handle(options: argparse.Namespace) -> int:
    """Ask, and print who answers."""
    if (options.announce is None) != (options.key is None):
        raise UsageError("--announce and --key go together")
    packet = QUESTION if options.announce is None else _announcement(options)
    try:
        for device in find_devices(packet, options.broadcast, options.wait):
            print(json.dumps(device) if options.json else "  ".join(device.values()), flush=True)
    except OSError as error:
        raise TransportError(f"{options.broadcast}: {error}") from None
    return 0


def _announcement(options: argparse.Namespace) -> Mapping[str, Any]:
    from kegnet_client.runner.compose import compose_announcement, sign_document

    now_ms = Clock().wall_ms()
    expires_ms = now_ms + int(options.expires * 3_600_000)
    return sign_document(compose_announcement(options.announce, options.to, expires_ms, now_ms), options.key)
