"""The meter that counts at each tap, and when its device was heard of last: what is left is as current as that."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from kegnet_client.hub.domain.levels import STALE_MS, is_stale
from kegnet_client.hub.domain.periods import Meter
from kegnet_client.hub.store import entries, schema


@dataclass(frozen=True, slots=True)
class TapMeter:
    """The meter that counts at a tap now, and when its device was heard of, if it ever was."""

    tap: int
    name: str
    meter: Meter
    heard_ms: int | None

    def is_silent(self, now_ms: int) -> bool:
        """Whether more may have been poured than is known of."""
        return is_stale(self.heard_ms, now_ms, STALE_MS)


def read_meters(connection: Connection, now_ms: int) -> dict[int, TapMeter]:
    """The meter of each tap that has one at ``now_ms``, by the tap's number."""
    table = schema.devices.c
    heard = {str(uuid): seen_ms for uuid, seen_ms in connection.execute(select(table.uuid, table.last_seen_ms))}
    return {
        tap.subject: TapMeter(
            tap.subject, str(tap.body["name"]), (place["device"], place["pin"]), heard.get(place["device"])
        )
        for tap in entries.read_open(connection, "tap")
        for place in tap.body["meters"]
        if place["from_ms"] <= now_ms and (place["until_ms"] is None or now_ms < place["until_ms"])
    }


def find_silent(meters: Mapping[int, TapMeter], taps: Iterable[int], now_ms: int) -> TapMeter | None:
    """Of the meters at ``taps`` the silent one that was heard of longest ago; a tap without one is never silent.

    What no meter counts is what people say, which is as good as ever.
    """
    silent = [meters[tap] for tap in taps if tap in meters and meters[tap].is_silent(now_ms)]
    return min(silent, key=lambda one: -1 if one.heard_ms is None else one.heard_ms, default=None)
