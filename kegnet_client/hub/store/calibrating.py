"""Calibrating a meter by a measured pour: what it counted since somebody began, and what a new figure would change.

Nothing is written here: the calibration itself is an entry like any other (`kegnet_client.hub.store.house`).
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from kegnet_client.hub.domain.periods import NEVER_MS, Meter
from kegnet_client.hub.store import entries, periods, schema, volumes

MAX_NEW = 500
MAX_SHOWN = 8

_pours, _adjustments = schema.pours.c, schema.adjustments.c


@dataclass(frozen=True, slots=True)
class Counted:
    """A pour as its meter counted it."""

    id: int
    pulses: int
    started_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """A volume by the figures that hold, None where none does, and by the new one."""

    before_nl: int | None
    after_nl: int


@dataclass(frozen=True, slots=True)
class Effect:
    """What a new figure changes: of each keg (None: of no keg) what left it, and the last pours of the meter."""

    kegs: dict[int | None, Change]
    pours: list[tuple[Counted, Change]]


def read_newest(connection: Connection) -> int:
    """The number of the newest pour of all."""
    return connection.scalar(select(func.max(_pours.id))) or 0


def read_counted(connection: Connection, meter: Meter, after: int) -> list[Counted]:
    """What ``meter`` counted since the pour ``after`` arrived, in the order of arrival."""
    columns = (_pours.id, _pours.pulses, _pours.started_ms, _pours.device, _pours.pin)
    # Along the numbers alone: a meter's own index would lead through all that it ever counted.
    newest = connection.execute(select(*columns).where(_pours.id > after).order_by(_pours.id).limit(MAX_NEW))
    return [Counted(row.id, row.pulses, row.started_ms) for row in newest if (row.device, row.pin) == meter]


def read_value(connection: Connection, meter: Meter, now_ms: int) -> int | None:
    """Nanolitres a pulse of ``meter`` at ``now_ms``."""
    period = periods.read(connection, [meter[0]]).at(*meter, now_ms)
    return None if period is None else period.nanolitres_per_pulse


def read_effect(connection: Connection, meter: Meter, nanolitres_per_pulse: int, from_ms: int) -> Effect:
    """What would change if a pulse of ``meter`` were ``nanolitres_per_pulse`` from ``from_ms`` on.

    It would hold until the next calibration. What somebody has said of a pour stays.
    """
    until_ms = _next_calibration(connection, meter, from_ms)
    before: dict[int | None, int] = defaultdict(int)
    after: dict[int | None, int] = defaultdict(int)

    def count(keg: int | None, pulses: int, value: int | None) -> None:
        before[keg] += pulses * (value or 0)
        after[keg] += pulses * nanolitres_per_pulse

    of_meter = periods.read(connection, [meter[0]])
    reached_ms = from_ms
    for period in of_meter.between(*meter, from_ms, until_ms):
        start_ms, end_ms = max(period.from_ms, from_ms), min(period.until_ms, until_ms)
        count(None, volumes.read_pulses(connection, meter, reached_ms, start_ms), None)
        count(period.keg, volumes.read_pulses(connection, meter, start_ms, end_ms), period.nanolitres_per_pulse)
        reached_ms = end_ms
    count(None, volumes.read_pulses(connection, meter, reached_ms, until_ms), None)
    for row in connection.execute(_adjusted(meter, from_ms, until_ms)):
        held = of_meter.at(*meter, row.started_ms)
        value = None if held is None else held.nanolitres_per_pulse
        count(None if held is None else held.keg, -row.pulses, value)
        if not _is_said(row.what, row.volume_nl):
            count(row.keg, row.pulses, value)
    kegs = {keg: Change(before[keg], after[keg]) for keg in after if before[keg] or after[keg]}
    return Effect(kegs, _last_pours(connection, meter, nanolitres_per_pulse, from_ms, until_ms))


def _next_calibration(connection: Connection, meter: Meter, from_ms: int) -> int:
    later = [
        int(one.body["from_ms"])
        for one in entries.read_open(connection, "calibration")
        if (one.body["device"], one.body["pin"]) == meter and one.body["from_ms"] > from_ms
    ]
    return min(later, default=NEVER_MS)


def _adjusted(meter: Meter, from_ms: int, until_ms: int) -> Select[Any]:
    return (
        select(_pours.pulses, _pours.started_ms, _adjustments.what, _adjustments.volume_nl, volumes.KEG)
        .select_from(volumes.POURS)
        .where(_adjustments.pour.is_not(None), _pours.device == meter[0], _pours.pin == meter[1])
        .where(_pours.started_ms >= from_ms, _pours.started_ms < until_ms)
    )


def _is_said(what: str | None, volume_nl: int | None) -> bool:
    """Whether a person has said the volume, so that no calibration changes it."""
    return what == "void" or volume_nl is not None


def _last_pours(
    connection: Connection, meter: Meter, nanolitres_per_pulse: int, from_ms: int, until_ms: int
) -> list[tuple[Counted, Change]]:
    statement = (
        select(
            _pours.id,
            _pours.pulses,
            _pours.started_ms,
            volumes.VOLUME,
            _adjustments.what,
            _adjustments.volume_nl.label("said_nl"),
        )
        .select_from(volumes.POURS)
        .where(_pours.device == meter[0], _pours.pin == meter[1])
        .order_by(_pours.started_ms.desc(), _pours.id.desc())
        .limit(MAX_SHOWN)
    )
    found = []
    for row in connection.execute(statement):
        is_new = from_ms <= row.started_ms < until_ms and not _is_said(row.what, row.said_nl)
        after_nl = row.pulses * nanolitres_per_pulse if is_new else row.volume_nl or 0
        found.append((Counted(row.id, row.pulses, row.started_ms), Change(row.volume_nl, after_nl)))
    return found
