"""``kegnet-client hub taps``: the taps, their meters and thermometers."""

import argparse
from typing import TYPE_CHECKING, Any

from kegnet_client.commands.hub.actions import Actions, add_json, handle_action
from kegnet_client.commands.hub.saying import CONSOLE, change, look, number_of, print_done, print_rows, uuid_of
from kegnet_client.commands.parser import Parser

if TYPE_CHECKING:
    from kegnet_client.hub.domain.measures import Units
    from kegnet_client.hub.store.entries import Entry

handle = handle_action


def add_arguments(parser: Parser) -> None:
    """Add the actions, each with what it takes."""
    actions = Actions(parser, _list)
    add = actions.add("add", "set up a tap", _add)
    add_json(add, is_action=True)
    add.add_argument("name", metavar="NAME")
    add.add_argument("--device", metavar="DEVICE", help="the device whose meter counts here, by its name or uuid")
    add.add_argument("--pin", type=int, default=0, help="the meter's pin (default: %(default)s)")
    add.add_argument("--meter", default="SF800", help="SF800, Vision 2000, Kegbot or YF-S201 (default: %(default)s)")
    add.add_argument("--sensor", metavar="ID", help="the thermometer, such as 28-0000057fa1b2")
    end = actions.add("end", "end a tap; its history stays", _end)
    add_json(end, is_action=True)
    end.add_argument("tap", metavar="TAP", help="its name or number")


def _list(options: argparse.Namespace) -> int:
    from kegnet_client.hub.api import taps
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import entries, house

    def read(connection: Any) -> tuple[list[dict[str, Any]], "Units"]:
        shown = taps.show(connection, entries.read_open(connection, "tap"), wall_ms())
        return shown, house.read_settings(connection).units

    rows, units = look(options, read)
    return print_rows(options, rows, lambda tap: _line(tap, units))


def _line(tap: dict[str, Any], units: "Units") -> str:
    from kegnet_client.hub.domain import measures

    meters = ", ".join(f"pin {one['pin']} of {one['device']}" for one in tap["meters"]) or "no meter"
    keg = "no keg"
    if tap["keg"] is not None:
        keg = f"keg {tap['keg']['id']}, {measures.volume(tap['keg']['left_ml'], measures.Shown(units))} left"
    return f"{tap['id']}  {tap['name']}  {meters}  {tap['sensor'] or 'no thermometer'}  {keg}"


def _add(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import bodies, house

    def work(connection: Any, now_ms: int) -> "Entry":
        meters = []
        if options.device is not None:
            meters = [{"device": uuid_of(connection, options.device), "pin": options.pin, "kind": options.meter}]
        body = {"name": options.name, "meters": meters, "sensor": options.sensor}
        return house.say(connection, "tap", None, bodies.Tap.model_validate(body), CONSOLE, now_ms)

    entry = change(options, work)
    told = f"{options.name} is tap {entry.subject}; `kegnet-client hub kegs tap {entry.subject}` taps a keg there."
    return print_done(options, house.describe(entry), told)


def _end(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import bodies, entries, house

    def work(connection: Any, now_ms: int) -> entries.Entry:
        entries.lock(connection)
        number = number_of(connection, "tap", options.tap)
        entry = entries.read_one(connection, "tap", number)
        if entry is None:
            raise house.UnknownError("no-such", kind="tap", number=number)
        body = bodies.Tap.model_validate({**entry.body, "ended_ms": now_ms})
        return house.say(connection, "tap", entry.subject, body, CONSOLE, now_ms)

    ended = house.describe(change(options, work))
    return print_done(options, ended, f"Tap {options.tap} is ended; what it poured stays.")
