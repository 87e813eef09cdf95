"""``kegnet-client hub profiles``: temperatures by days, and where they run."""

import argparse
from typing import Any

from kegnet_client.commands.hub.actions import Actions, add_json, handle_action
from kegnet_client.commands.hub.saying import CONSOLE, change, look, number_of, print_done, print_rows
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError

handle = handle_action


def add_arguments(parser: Parser) -> None:
    """Add the actions, each with what it takes."""
    actions = Actions(parser, _list)
    add = actions.add("add", "say the temperatures of a profile", _add)
    add_json(add, is_action=True)
    add.add_argument("name", metavar="NAME")
    add.add_argument("points", nargs="+", metavar="DAY:DEGREES", help="such as 0:10 7:10 9:16")
    add.add_argument("--fahrenheit", action="store_true", help="the degrees are Fahrenheit (default: Celsius)")
    start = actions.add("start", "let a profile run on a thermometer, from now on", _start)
    add_json(start, is_action=True)
    start.add_argument("profile", metavar="PROFILE", help="its name or number")
    start.add_argument("sensor", metavar="SENSOR")
    stop = actions.add("stop", "let a profile run no more", _stop)
    add_json(stop, is_action=True)
    stop.add_argument("profile", metavar="PROFILE", help="its name or number")
    stop.add_argument("place", metavar="PLACE", nargs="?", help="where, if it runs in several, as `hub profiles` shows")


def _list(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import entries, house, runs

    def read(connection: Any) -> list[dict[str, Any]]:
        running = [(runs.tell_place(place), run) for place, run in runs.read_running(connection).items()]
        return [
            {**house.describe(one), "runs": [place for place, run in running if run.body["profile"] == one.subject]}
            for one in entries.read_open(connection, "profile")
        ]

    return print_rows(options, look(options, read), _line)


def _line(profile: dict[str, Any]) -> str:
    points = " ".join(f"{one['days']:g}:{one['temperature']:g}" for one in profile["temperatures"]) or "no points"
    where = f"  runs on {', '.join(profile['runs'])}" if profile["runs"] else ""
    return f"{profile['id']}  {profile['name']}  {points}  °{profile['unit']}{where}"


def _add(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import bodies, house

    body = {
        "name": options.name,
        "unit": "F" if options.fahrenheit else "C",
        "temperatures": [_point(text) for text in options.points],
    }
    entry = change(
        options,
        lambda connection, now_ms: house.say(
            connection, "profile", None, bodies.Profile.model_validate(body), CONSOLE, now_ms
        ),
    )
    start = f"`kegnet-client hub profiles start {entry.subject} SENSOR` runs it."
    return print_done(options, house.describe(entry), f"{options.name} is profile {entry.subject}; {start}")


def _point(text: str) -> dict[str, float]:
    days, _, degrees = text.partition(":")
    try:
        return {"days": float(days), "temperature": float(degrees)}
    except ValueError:
        raise UsageError(f"{text!r}: write it as DAY:DEGREES, such as 7:10") from None


def _start(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import bodies, house

    def work(connection: Any, now_ms: int) -> dict[str, Any]:
        number = number_of(connection, "profile", options.profile)
        body = bodies.Run.model_validate({"profile": number, "sensor": options.sensor, "started_ms": now_ms})
        return house.describe(house.say(connection, "run", None, body, CONSOLE, now_ms))

    told = f"Profile {options.profile} runs on {options.sensor} from now on."
    return print_done(options, change(options, work), told)


def _stop(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import entries, house, runs

    def work(connection: Any, now_ms: int) -> tuple[str, dict[str, Any]]:
        entries.lock(connection)
        number = number_of(connection, "profile", options.profile)
        running = {
            runs.tell_place(place): run
            for place, run in runs.read_running(connection).items()
            if run.body["profile"] == number
        }
        if len(running) > 1 and options.place is None:
            raise UsageError(f"profile {options.profile} runs in several places: name one of {', '.join(running)}")
        place = next(iter(running), None) if options.place is None else options.place
        if place not in running:
            where = "" if options.place is None else f" on {options.place}"
            raise UsageError(f"profile {options.profile} does not run{where}; `kegnet-client hub profiles` shows where")
        return place, house.describe(runs.stop(connection, running[place], CONSOLE, now_ms))

    place, stopped = change(options, work)
    told = f"Profile {options.profile} runs on {place} no more; its history stays."
    return print_done(options, stopped, told)
