"""``kegnet-client hub beverages``: what is in the kegs, and saying it better."""

import argparse
from typing import Any

from kegnet_client.commands.hub.actions import Actions, add_json, handle_action
from kegnet_client.commands.hub.saying import CONSOLE, change, look, number_of, print_done, print_rows
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError

FIELDS = {
    "name": "name",
    "producer": "producer",
    "style": "style",
    "abv": "abv_percent",
    "gravity": "specific_gravity",
    "notes": "notes",
}
"""Each option, and the field that it changes."""

handle = handle_action


def add_arguments(parser: Parser) -> None:
    """Add the actions, each with what it takes."""
    actions = Actions(parser, _list)
    mend = actions.add("change", "say more of a beverage, or what was said wrongly", _change)
    add_json(mend, is_action=True)
    mend.add_argument("beverage", metavar="BEVERAGE", help="its name or number, as `hub beverages` shows them")
    mend.add_argument("--name", help="its name, in every keg that holds it")
    mend.add_argument("--producer", metavar="NAME", help="who brews it")
    mend.add_argument("--style", help="such as Pilsner")
    mend.add_argument("--abv", type=float, metavar="PERCENT", help="its alcohol by volume")
    mend.add_argument("--gravity", type=float, help="its specific gravity, such as 1.012")
    mend.add_argument("--notes", metavar="TEXT")


def _list(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import entries, house

    def read(connection: Any) -> list[dict[str, Any]]:
        kegs = entries.read_open(connection, "keg")
        return [
            {**house.describe(one), "kegs": [keg.subject for keg in kegs if keg.body["beverage"] == one.subject]}
            for one in entries.read_open(connection, "beverage")
        ]

    return print_rows(options, look(options, read), _line)


def _line(beverage: dict[str, Any]) -> str:
    abv = "" if beverage["abv_percent"] is None else f"{beverage['abv_percent']:g} %"
    more = ", ".join(part for part in (beverage["producer"], beverage["style"], abv) if part)
    kegs = f"in keg {', '.join(map(str, beverage['kegs']))}" if beverage["kegs"] else "in no keg"
    return "  ".join(part for part in (str(beverage["id"]), beverage["name"], more, kegs) if part)


def _change(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import bodies, entries, house

    told = {field: value for option, field in FIELDS.items() if (value := getattr(options, option)) is not None}
    if not told:
        raise UsageError("say what it is: --name NAME, --producer NAME, --style STYLE, --abv PERCENT, ...")

    def work(connection: Any, now_ms: int) -> entries.Entry:
        entries.lock(connection)
        number = number_of(connection, "beverage", options.beverage)
        known = entries.read_one(connection, "beverage", number)
        if known is None:
            raise UsageError(f"there is no beverage {number}; `kegnet-client hub beverages` lists them")
        body = bodies.Beverage.model_validate({**known.body, **told})
        return house.say(connection, "beverage", number, body, CONSOLE, now_ms)

    entry = change(options, work)
    told_now = f"Beverage {entry.subject} is changed, in every keg that holds it."
    return print_done(options, house.describe(entry), told_now)
