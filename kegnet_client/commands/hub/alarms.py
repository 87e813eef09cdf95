"""``kegnet-client hub alarms``: what is wrong, and acknowledging it."""

import argparse

from kegnet_client.commands.hub.actions import Actions, add_json, handle_action
from kegnet_client.commands.hub.saying import CONSOLE, change, look, print_done, print_rows
from kegnet_client.commands.parser import Parser

handle = handle_action


def add_arguments(parser: Parser) -> None:
    """Add the actions, each with what it takes."""
    actions = Actions(parser, _list)
    known = actions.add("acknowledge", "say that somebody knows of it", _acknowledge)
    add_json(known, is_action=True)
    known.add_argument("number", type=int, metavar="NUMBER")


def _list(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import alarms

    standing = look(options, alarms.read_standing)
    rows = [alarms.describe(number, alarm) for number, alarm in standing.values()]
    if not rows and not options.json:
        print("Nothing is wrong.")
    return print_rows(options, rows, lambda row: f"{row['id']}  {row['state']}  {row['text']}")


def _acknowledge(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import alarms

    change(options, lambda connection, now_ms: alarms.acknowledge_one(connection, options.number, CONSOLE, now_ms))
    known = {"id": options.number, "acknowledged_by": CONSOLE}
    return print_done(options, known, f"Alarm {options.number} is acknowledged.")
