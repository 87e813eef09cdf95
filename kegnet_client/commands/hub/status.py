"""``kegnet-client hub status``: what is left at each tap, how cold it is, and which devices were heard of when."""

import argparse
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from kegnet_client.commands.hub.home import add_directory, find_home, open_store
from kegnet_client.commands.parser import Parser

if TYPE_CHECKING:
    from kegnet_client.hub.domain.measures import Units


def add_arguments(parser: Parser) -> None:
    """Add what ``hub status`` takes."""
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def handle(options: argparse.Namespace) -> int:
    """Print it, whether the hub runs or not."""
    from kegnet_client.hub.api import taps
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import entries, house, refusals

    now_ms = wall_ms()
    with closing(open_store(find_home(options))) as store:
        shown = store.read(
            lambda connection: taps.show(
                connection,
                entries.read_open(connection, "tap"),
                now_ms,
            )
        )
        units = store.read(house.read_settings).units
        hour = store.read(lambda connection: refusals.read_sums(connection, now_ms - refusals.HOUR_MS))
        day = store.read(lambda connection: refusals.read_sums(connection, now_ms - 24 * refusals.HOUR_MS))
        devices = [one for one in store.devices() if one.revoked_ms is None]
    if options.json:
        heard = [
            {
                "uuid": one.uuid,
                "name": one.name,
                "last_seen_ms": one.last_seen_ms,
                "refused_within_hour": hour.get(one.uuid, 0),
                "refused_within_day": day.get(one.uuid, 0),
            }
            for one in devices
        ]
        print(json.dumps({"now_ms": now_ms, "taps": shown, "devices": heard}))
        return 0
    for tap in shown:
        print(f"{tap['name']}: {_describe(tap, units, now_ms)}")
    if not shown:
        print("No tap is set up yet.")
    for device in devices:
        seen = "never heard of" if device.last_seen_ms is None else f"heard of {_ago(now_ms - device.last_seen_ms)}"
        refused = day.get(device.uuid, 0)
        told = f"; {refused} records refused within a day, {hour.get(device.uuid, 0)} of them within the last hour"
        print(f"Device {device.name}: {seen}{told if refused else ''}")
    return 0


def _describe(tap: dict[str, Any], units: "Units", now_ms: int) -> str:
    from kegnet_client.hub.domain import measures

    keg = tap["keg"]
    if keg is None:
        parts = ["no keg"]
    else:
        beverage = "a keg" if tap["beverage"] is None else tap["beverage"]["name"]
        left = measures.volume_of(keg["left_ml"], keg["size_ml"], measures.Shown(units))
        parts = [f"{beverage}, {left} left ({keg['left_percent']:.0f} %), {keg['glasses']} glasses"]
        last_ms = keg["last_pour_ms"]
        parts.append("nothing poured yet" if last_ms is None else f"last pour {_ago(now_ms - last_ms)}")
    temperature = tap["temperature"]
    if temperature is not None:
        degrees = measures.temperature(temperature["millidegrees"], measures.Shown(units))
        parts.append(f"{degrees} {_ago(now_ms - temperature['taken_ms'])}")
    return "; ".join(parts)


def _ago(age_ms: int) -> str:
    """How long ago, in one unit; a device's clock may be ahead."""
    seconds = max(0, age_ms // 1000)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return f"{seconds} s ago"
