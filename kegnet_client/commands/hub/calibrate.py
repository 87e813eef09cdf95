"""``kegnet-client hub calibrate``: what a pulse of a meter is worth, by a measured pour."""

import argparse
from typing import Any

from kegnet_client.commands.hub.actions import add_json
from kegnet_client.commands.hub.home import add_directory
from kegnet_client.commands.hub.saying import CONSOLE, change, print_done, uuid_of
from kegnet_client.commands.parser import Parser


def add_arguments(parser: Parser) -> None:
    """Add what ``hub calibrate`` takes."""
    add_directory(parser)
    add_json(parser)
    parser.add_argument("device", metavar="DEVICE", help="the device, by its name or uuid")
    parser.add_argument("pin", type=int, metavar="PIN")
    parser.add_argument("--pulses", type=int, required=True, help="what the meter counted for the measured pour")
    measured = parser.add_mutually_exclusive_group(required=True)
    measured.add_argument("--ml", type=float, help="its volume in a jug, in millilitres")
    measured.add_argument("--grams", type=float, help="its weight, without the jug")
    parser.add_argument(
        "--gravity", type=float, default=1.015, help="with --grams: the specific gravity (default: %(default)s)"
    )
    parser.add_argument(
        "--always", action="store_true", help="for every pour that the meter ever counted (default: from now on)"
    )


def handle(options: argparse.Namespace) -> int:
    """Say it."""
    from kegnet_client.hub.store import bodies, house

    def work(connection: Any, now_ms: int) -> dict[str, Any]:
        body = bodies.Calibration.model_validate(
            {
                "device": uuid_of(connection, options.device),
                "pin": options.pin,
                "from_ms": 0 if options.always else now_ms,
                "pulses": options.pulses,
                "volume_ml": options.ml,
                "weight_g": options.grams,
                "specific_gravity": options.gravity,
            }
        )
        return house.describe(house.say(connection, "calibration", None, body, CONSOLE, now_ms))

    said = change(options, work)
    since = "for all that it ever counted" if options.always else "from now on"
    value = said["nanolitres_per_pulse"]
    return print_done(
        options, said, f"A pulse of pin {options.pin} of {options.device} is {value} nanolitres, {since}."
    )
