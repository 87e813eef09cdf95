"""``kegnet-client hub adjust``: what a pour was, where the meter is not to be trusted."""

import argparse
from typing import Any

from kegnet_client.commands.hub.actions import add_json
from kegnet_client.commands.hub.home import add_directory
from kegnet_client.commands.hub.saying import CONSOLE, change, print_done
from kegnet_client.commands.parser import Parser


def add_arguments(parser: Parser) -> None:
    """Add what ``hub adjust`` takes."""
    add_directory(parser)
    add_json(parser)
    parser.add_argument("pour", type=int, metavar="POUR", help="its id, as /api/pours shows it")
    parser.add_argument(
        "what",
        metavar="WHAT",
        help="void (it was none), spill (nobody drank it), volume, keg, or none to take back what was said",
    )
    parser.add_argument("--ml", type=float, help="with volume: what it was, in millilitres")
    parser.add_argument("--keg", type=int, help="with keg: where it came from")
    parser.add_argument("--reason", default="", help="why, for the history")


def handle(options: argparse.Namespace) -> int:
    """Say it."""
    from kegnet_client.hub.store import bodies, house

    body = {"what": options.what, "volume_ml": options.ml, "keg": options.keg, "reason": options.reason}

    def work(connection: Any, now_ms: int) -> dict[str, Any]:
        checked = bodies.Adjustment.model_validate(body)
        return house.describe(house.say(connection, "adjustment", options.pour, checked, CONSOLE, now_ms))

    return print_done(options, change(options, work), f"Pour {options.pour} is adjusted: {options.what}.")
