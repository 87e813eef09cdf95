"""``kegnet-client hub kegs``: the kegs, what is left in them, and tapping, changing and ending one."""

import argparse
from typing import TYPE_CHECKING, Any

from kegnet_client.commands.hub.actions import Actions, add_json, handle_action
from kegnet_client.commands.hub.saying import CONSOLE, change, look, number_of, print_done, print_rows
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError

if TYPE_CHECKING:
    from kegnet_client.hub.domain.measures import Units

handle = handle_action


def add_arguments(parser: Parser) -> None:
    """Add the actions, each with what it takes."""
    actions = Actions(parser, _list)
    tap = actions.add("tap", "tap a new keg; the one that is there ends", _tap)
    add_json(tap, is_action=True)
    tap.add_argument("tap", metavar="TAP", help="its name or number, as `hub taps` shows them")
    tap.add_argument("--beverage", required=True, metavar="NAME")
    tap.add_argument("--litres", type=float, required=True, help="its size")
    tap.add_argument("--start-litres", type=float, metavar="LITRES", help="what is in it (default: it is full)")
    mend = actions.add("change", "say what a keg is that was said wrongly", _change)
    add_json(mend, is_action=True)
    mend.add_argument("keg", metavar="KEG", help="its number, as `hub kegs` shows it, or the name of its tap")
    mend.add_argument("--beverage", metavar="NAME", help="what is in it")
    mend.add_argument("--litres", type=float, help="its size")
    mend.add_argument("--start-litres", type=float, metavar="LITRES", help="what was in it at first")
    end = actions.add("end", "the keg at a tap is empty", _end)
    add_json(end, is_action=True)
    end.add_argument("tap", metavar="TAP", help="its name or number")


def _list(options: argparse.Namespace) -> int:
    from kegnet_client.hub.api import kegs
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import entries, house

    def read(connection: Any) -> tuple[list[dict[str, Any]], "Units"]:
        shown = kegs.show(connection, entries.read_all(connection, "keg"), wall_ms())
        return shown, house.read_settings(connection).units

    rows, units = look(options, read)
    return print_rows(options, rows, lambda keg: _line(keg, units))


def _line(keg: dict[str, Any], units: "Units") -> str:
    from kegnet_client.hub.domain import measures

    places = [one["tap"] for one in keg["taps"] if one["until_ms"] is None]
    where = f"at tap {places[0]}" if places and keg["ended_ms"] is None else "not tapped"
    left = measures.volume_of(keg["left_ml"], keg["size_ml"], measures.Shown(units))
    return f"{keg['id']}  {left} left ({keg['left_percent']:.0f} %)  {where}"


def _tap(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import bodies, entries, house, tapping

    def work(connection: Any, now_ms: int) -> entries.Entry:
        beverage = bodies.Beverage(name=options.beverage)
        tap = number_of(connection, "tap", options.tap)
        start_ml = None if options.start_litres is None else options.start_litres * 1000
        return tapping.tap_keg(connection, tap, beverage, options.litres * 1000, CONSOLE, now_ms, start_ml=start_ml)

    keg = change(options, work)
    told = f"Keg {keg.subject}, {options.litres:g} l of {options.beverage}, runs from tap {options.tap} from now on."
    return print_done(options, house.describe(keg), told)


def _change(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import entries, house, tapping

    if options.beverage is None and options.litres is None and options.start_litres is None:
        raise UsageError("say what it is: --beverage NAME, --litres SIZE or --start-litres LITRES")

    def work(connection: Any, now_ms: int) -> entries.Entry:
        entries.lock(connection)
        number = _keg_number(connection, options.keg, now_ms)
        keg = entries.read_one(connection, "keg", number)
        if keg is None:
            raise UsageError(f"there is no keg {number}; `kegnet-client hub kegs` lists them")
        size_ml = keg.body["size_ml"] if options.litres is None else options.litres * 1000
        start_ml = keg.body["start_ml"] if options.start_litres is None else options.start_litres * 1000
        return tapping.change_keg(connection, number, options.beverage, size_ml, start_ml, CONSOLE, now_ms)

    keg = change(options, work)
    told = f"Keg {keg.subject} is changed; its history shows what it was said to be."
    return print_done(options, house.describe(keg), told)


def _keg_number(connection: Any, word: str, now_ms: int) -> int:
    """The number of the keg that ``word`` names: by its own number, or by the name of the tap that it runs from."""
    from kegnet_client.hub.store import tapping

    if word.isascii() and word.isdecimal():
        return int(word)
    keg = tapping.read_running(connection, now_ms).get(number_of(connection, "tap", word))
    if keg is None:
        raise UsageError(f"no keg runs from tap {word}; `kegnet-client hub kegs` lists them")
    return keg.subject


def _end(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import tapping

    def work(connection: Any, now_ms: int) -> int | None:
        tap = number_of(connection, "tap", options.tap)
        return tap if tapping.end_keg(connection, tap, CONSOLE, now_ms) else None

    tap = change(options, work)
    if tap is None:
        raise UsageError(f"no keg runs from tap {options.tap}; `kegnet-client hub taps` shows what does")
    return print_done(options, {"tap": tap, "keg": None}, f"The keg at tap {options.tap} is ended.")
