"""Whether what a card of a tap shows is still so, and what is wrong there. Pure but for `read`."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from kegnet_client.hub.api import taps
from kegnet_client.hub.domain.alarms import at_tap
from kegnet_client.hub.store import alarms, entries
from kegnet_client.hub.store.hearing import TapMeter, find_silent, read_meters


@dataclass(frozen=True, slots=True)
class TapState:
    """A tap as `kegnet_client.hub.api.taps` shows it, its meter if that is silent, and the texts of its alarms."""

    tap: dict[str, Any]
    silent: TapMeter | None
    alarms: tuple[str, ...]


def read(connection: Connection, now_ms: int) -> list[TapState]:
    """All taps."""
    meters = read_meters(connection, now_ms)
    standing = [alarm for _, alarm in alarms.read_standing(connection).values()]
    found = []
    for tap in taps.show(connection, entries.read_open(connection, "tap"), now_ms):
        meter, keg = meters.get(tap["id"]), tap["keg"]
        wrong = at_tap(
            standing, None if keg is None else keg["id"], tap["sensor"], None if meter is None else meter.meter
        )
        silent = find_silent(meters, [tap["id"]], now_ms)
        found.append(TapState(tap, silent, tuple(one.text for one in wrong)))
    return found
