"""``kegnet-client hub settings``: how the hub shows things."""

import argparse
import json
from typing import Any

from kegnet_client.commands.hub.home import add_directory
from kegnet_client.commands.hub.saying import CONSOLE, change, look
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError

MAX_SHOWN = 200
"""A logo is longer."""


def add_arguments(parser: Parser) -> None:
    """Add what ``hub settings`` takes."""
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("changes", nargs="*", metavar="NAME=VALUE", help="such as units=us or glass_ml=300")


def handle(options: argparse.Namespace) -> int:
    """Change what is named, and show what holds."""
    from kegnet_client.hub.store import bodies, house

    changes = dict(_part(one) for one in options.changes)
    if changes:

        def work(connection: Any, now_ms: int) -> None:
            body = bodies.Settings.model_validate({**house.read_settings(connection).model_dump(), **changes})
            house.say(connection, "settings", house.SETTINGS, body, CONSOLE, now_ms)

        change(options, work)
    holding = look(options, house.read_settings).model_dump(exclude={"ended_ms"})
    if options.json:
        print(json.dumps(holding))
    else:
        for name, value in holding.items():
            text = str(value)
            print(f"{name} = {text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + '...'}")
    return 0


def _part(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or name == "others":
        raise UsageError(f"{text!r}: write it as NAME=VALUE; `kegnet-client hub settings` shows the names")
    return name.strip(), value.strip()
