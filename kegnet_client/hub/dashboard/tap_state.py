"""Whether what a card of a tap shows is still so, and what is wrong there. Pure but for `read`."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from kegnet_client.hub.api import taps
from kegnet_client.hub.dashboard.names import read_meters
from kegnet_client.hub.domain.alarms import at_tap
from kegnet_client.hub.domain.levels import is_stale
from kegnet_client.hub.store import alarms, entries, schema

STALE_MS = 30 * 60_000
"""What was heard before is shown as old: a device is heard of every ten minutes."""

OLD = "opacity-60"
"""How it looks."""


@dataclass(frozen=True, slots=True)
class TapState:
    """A tap as `kegnet_client.hub.api.taps` shows it, the device of its meter, and the texts of its alarms."""

    tap: dict[str, Any]
    has_meter: bool
    heard_ms: int | None
    alarms: tuple[str, ...]

    def is_level_stale(self, now_ms: int) -> bool:
        """Whether more may have been poured than is known of: its device is silent.

        Without a meter the level is what people say, which is as good as ever.
        """
        return self.has_meter and is_stale(self.heard_ms, now_ms, STALE_MS)


def read(connection: Connection, now_ms: int) -> list[TapState]:
    """All taps."""
    meters = {one.tap: one.meter for one in read_meters(connection, now_ms)}
    table = schema.devices.c
    heard = {str(uuid): seen_ms for uuid, seen_ms in connection.execute(select(table.uuid, table.last_seen_ms))}
    standing = [alarm for _, alarm in alarms.read_standing(connection).values()]
    return [
        TapState(
            tap,
            (meter := meters.get(tap["id"])) is not None,
            None if meter is None else heard.get(meter[0]),
            tuple(one.text for one in at_tap(standing, (tap["keg"] or {}).get("id"), tap["sensor"], meter)),
        )
        for tap in taps.show(connection, entries.read_open(connection, "tap"), now_ms)
    ]
