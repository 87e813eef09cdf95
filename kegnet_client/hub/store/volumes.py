"""Volumes, worked out by the database: of each pour, and of what left each keg.

A pour's volume is its pulses times the calibration that holds when it begins, unless somebody has said what it was
(`schema.adjustments`). It left the keg that ran from its meter's tap then, unless somebody has said another. What left
a keg in years is a sum over its meters' days, with the pours of the first and the last day and the adjusted ones apart.

All volumes are whole nanolitres: sums are exact, whatever came first.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    union_all,
)

from kegnet_client.hub.domain.meters import DRIPS_NL_PER_MS
from kegnet_client.hub.domain.periods import Meter
from kegnet_client.hub.store import pages, schema

DAY_MS = 86_400_000

_pours, _periods, _adjustments, _days = (
    schema.pours.c,
    schema.meter_periods.c,
    schema.adjustments.c,
    schema.pours_by_day.c,
)

POURS: FromClause = schema.pours.outerjoin(
    schema.meter_periods,
    and_(
        _periods.device == _pours.device,
        _periods.pin == _pours.pin,
        _periods.from_ms <= _pours.started_ms,
        _pours.started_ms < _periods.until_ms,
    ),
).outerjoin(schema.adjustments, _adjustments.pour == _pours.id)
"""Each pour once, with what holds at its meter and what somebody said of it."""

VOLUME: ColumnElement[int | None] = case(
    (_adjustments.what == "void", 0),
    (_adjustments.volume_nl.is_not(None), _adjustments.volume_nl),
    else_=_pours.pulses * _periods.nanolitres_per_pulse,
).label("volume_nl")
TAP: ColumnElement[int | None] = _periods.tap.label("tap")
KEG: ColumnElement[int | None] = func.coalesce(_adjustments.keg, _periods.keg).label("keg")
IS_DRIPS: ColumnElement[bool] = and_(VOLUME > 0, _pours.elapsed_ms * DRIPS_NL_PER_MS > VOLUME)
IS_UNASSIGNED: ColumnElement[bool] = and_(KEG.is_(None), func.coalesce(_adjustments.what, "") != "void")
"""Nobody has said which keg it left."""
SELECT_POURS: Select[Any] = select(
    *(
        _pours[name]
        for name in ("id", "device", "pin", "pulses", "elapsed_ms", "started_ms", "received_ms", "record_id")
    ),
    VOLUME,
    IS_DRIPS.label("drips"),
    TAP,
    KEG,
    _adjustments.what.label("adjustment"),
    _adjustments.reason,
).select_from(POURS)
"""Every pour with its volume, tap and keg."""


def select_pours(
    query: pages.Query, tap: int | None = None, keg: int | None = None, *, unassigned: bool = False
) -> Select[Any]:
    """The pours of which ``query`` asks for a page: all, those of a tap or a keg, or those that nobody has assigned.

    Those of a tap or a keg are found by the periods that it had, and not among all others. A tap may have run for
    years: of its pours only a page is looked at as a whole.
    """
    statement = SELECT_POURS
    if unassigned:
        statement = statement.where(IS_UNASSIGNED)
    if tap is not None:
        found = _in_periods(_periods.tap == tap)
        if keg is None and not unassigned:
            found = pages.select_page(found, "started_ms", query)
        statement = statement.where(_pours.id.in_(select(found.subquery().c.id)))
    if keg is not None:
        # An adjustment may have brought a pour to a keg or taken it away.
        metered = _in_periods(_periods.keg == keg).subquery()
        adjusted = select(_adjustments.pour).where(_adjustments.keg == keg)
        statement = statement.where(_pours.id.in_(union_all(select(metered.c.id), adjusted)), KEG.in_([keg]))
    return statement


def _in_periods(which: ColumnElement[bool]) -> Select[Any]:
    """The pours at the meters of these periods while those lasted, with what a page is chosen by."""
    pours = schema.pours.alias()
    return (
        select(pours.c.id, pours.c.device, pours.c.pin, pours.c.started_ms)
        .select_from(schema.meter_periods)
        .join(
            pours,
            and_(
                pours.c.device == _periods.device,
                pours.c.pin == _periods.pin,
                pours.c.started_ms >= _periods.from_ms,
                pours.c.started_ms < _periods.until_ms,
            ),
        )
        .where(which)
    )


@dataclass(frozen=True, slots=True)
class Left:
    """What left a keg, and when it began to for the last time."""

    volume_nl: int
    last_pour_ms: int | None


def read_left(connection: Connection, kegs: Collection[int] | None = None) -> dict[int, Left]:
    """What left each keg, or each of ``kegs``, that anything left."""
    volumes: dict[int, int] = defaultdict(int)
    last: dict[int, int] = {}
    sums, adjusted = (_SUMS, _ADJUSTED) if kegs is None else (_SUMS_OF, _ADJUSTED_OF)
    which = {} if kegs is None else {"kegs": list(kegs)}
    for row in connection.execute(sums, which):
        volumes[row.keg] += (row.early + row.whole + row.late) * row.nanolitres_per_pulse
        if row.last_ms is not None:
            last[row.keg] = max(row.last_ms, last.get(row.keg, 0))
    for row in connection.execute(adjusted, which):
        if row.metered_keg is not None:
            volumes[row.metered_keg] -= row.metered_nl or 0
        if row.keg is not None:
            volumes[row.keg] += row.volume_nl or 0
        if row.keg is not None and row.what != "void":
            last[row.keg] = max(row.started_ms, last.get(row.keg, 0))
    return {keg: Left(volume, last.get(keg)) for keg, volume in volumes.items() if kegs is None or keg in kegs}


def read_pulses(connection: Connection, meter: Meter, from_ms: int, until_ms: int) -> int:
    """What ``meter`` counted in pours that began from ``from_ms`` until before ``until_ms``."""
    if from_ms >= until_ms:
        return 0
    first_day, last_day = -(-from_ms // DAY_MS), until_ms // DAY_MS

    def of_pours(start_ms: int, end_ms: int) -> int:
        statement = select(func.coalesce(func.sum(_pours.pulses), 0)).where(
            _pours.device == meter[0], _pours.pin == meter[1], _pours.started_ms >= start_ms, _pours.started_ms < end_ms
        )
        return int(connection.scalar(statement) or 0)

    if first_day >= last_day:
        return of_pours(from_ms, until_ms)
    days = select(func.coalesce(func.sum(_days.pulses), 0)).where(
        _days.device == meter[0], _days.pin == meter[1], _days.day >= first_day, _days.day < last_day
    )
    whole = int(connection.scalar(days) or 0)
    return of_pours(from_ms, first_day * DAY_MS) + whole + of_pours(last_day * DAY_MS, until_ms)


def _least(one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    return case((one < other, one), else_=other)


def _greatest(one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    return case((one > other, one), else_=other)


def _pulses(from_ms: ColumnElement[int], until_ms: ColumnElement[int]) -> ColumnElement[int]:
    """What the period's meter counted in pours that began from ``from_ms`` until before ``until_ms``."""
    table = schema.pours.alias()
    statement = select(func.coalesce(func.sum(table.c.pulses), 0)).where(
        table.c.device == _periods.device,
        table.c.pin == _periods.pin,
        table.c.started_ms >= from_ms,
        table.c.started_ms < until_ms,
    )
    return statement.correlate(schema.meter_periods).scalar_subquery()


def _make_sums() -> Select[Any]:
    # Whole days come from their sums, what is before the first and after the last one from the pours themselves.
    first_day = (_periods.from_ms + (DAY_MS - 1)) // DAY_MS
    last_day = _periods.until_ms // DAY_MS
    first_ms = _least(first_day * DAY_MS, _periods.until_ms)
    last_ms = _greatest(last_day * DAY_MS, first_ms)
    whole = select(cast(func.coalesce(func.sum(_days.pulses), 0), BigInteger)).where(
        _days.device == _periods.device, _days.pin == _periods.pin, _days.day >= first_day, _days.day < last_day
    )
    table = schema.pours.alias()
    newest = select(func.max(table.c.started_ms)).where(
        table.c.device == _periods.device,
        table.c.pin == _periods.pin,
        table.c.started_ms >= _periods.from_ms,
        table.c.started_ms < _periods.until_ms,
        ~select(_adjustments.pour).where(_adjustments.pour == table.c.id).exists(),  # those are looked at apart
    )
    return select(
        _periods.keg,
        func.coalesce(_periods.nanolitres_per_pulse, 0).label("nanolitres_per_pulse"),
        _pulses(_periods.from_ms, first_ms).label("early"),
        whole.correlate(schema.meter_periods).scalar_subquery().label("whole"),
        _pulses(last_ms, _periods.until_ms).label("late"),
        newest.correlate(schema.meter_periods).scalar_subquery().label("last_ms"),
    ).where(_periods.keg.is_not(None))


_SUMS = _make_sums()
_ADJUSTED = (
    select(
        _periods.keg.label("metered_keg"),
        (_pours.pulses * _periods.nanolitres_per_pulse).label("metered_nl"),
        KEG,
        VOLUME,
        _adjustments.what,
        _pours.started_ms,
    )
    .select_from(POURS)
    .where(_adjustments.pour.is_not(None))
)
_KEGS: BindParameter[list[int]] = bindparam("kegs", expanding=True)
_SUMS_OF = _SUMS.where(_periods.keg.in_(_KEGS))
_ADJUSTED_OF = _ADJUSTED.where(or_(_periods.keg.in_(_KEGS), _adjustments.keg.in_(_KEGS)))
