"""What is known, as the alarms' rules want it (`kegnet_client.hub.domain.rules.State`), read from the database."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from kegnet_client.hub.domain import rules
from kegnet_client.hub.domain.alarm_texts import tell
from kegnet_client.hub.domain.levels import level_of
from kegnet_client.hub.domain.numerals import Language
from kegnet_client.hub.domain.rules import DeviceState, KegState, MeterState, Poured, Rules, SensorState, State
from kegnet_client.hub.store import entries, house, readings, refusals, runs, schema, tapping, volumes


@dataclass(frozen=True, slots=True)
class _Limits:
    """The limits that people have set, by subject."""

    own: dict[str, Rules]
    default: Rules

    def of(self, subject: str) -> Rules:
        return self.own.get(subject, self.default)


def read_state(connection: Connection, listening_since_ms: int, now_ms: int) -> State:
    """All of it, as it is at ``now_ms``."""
    limits, settings = _read_limits(connection), house.read_settings(connection)
    taps = entries.read_open(connection, "tap")
    names = {one.body["sensor"]: str(one.body["name"]) for one in taps if one.body.get("sensor")}
    return State(
        listening_since_ms,
        sensors=_read_sensors(connection, names, limits, now_ms),
        devices=_read_devices(connection, limits, now_ms),
        kegs=_read_kegs(connection, limits, settings.language, now_ms),
        meters=_read_meters(
            connection, {one.subject: str(one.body["name"]) for one in taps}, limits, settings.language, now_ms
        ),
        units=settings.units,
        language=settings.language,
    )


def _read_limits(connection: Connection) -> _Limits:
    said = entries.read_open(connection, "rule")
    default = rules.DEFAULT
    for one in said:
        if one.body["subject"] == "all":
            default = default.with_own(one.body["limits"])
    own: dict[str, Rules] = {}
    for one in said:
        if one.body["subject"] != "all":
            own[one.body["subject"]] = own.get(one.body["subject"], default).with_own(one.body["limits"])
    return _Limits(own, default)


def _read_sensors(connection: Connection, names: dict[str, str], limits: _Limits, now_ms: int) -> Sequence[SensorState]:
    table = schema.temperatures.c
    running = {place[0]: one for place, one in runs.read_running(connection).items() if place[0] is not None}
    found = []
    for sensor in readings.read_sensors(connection, now_ms):
        own = limits.of(f"sensor {sensor}")
        columns = select(table.taken_ms, table.millidegrees, table.device).where(table.sensor == sensor)
        newest = columns.order_by(table.taken_ms.desc(), table.id.desc())
        last = connection.execute(newest.limit(1)).first()
        if last is None:
            continue
        since_ms = last.taken_ms - rules.look_back_ms(own)
        rows = [
            *connection.execute(newest.where(table.taken_ms >= since_ms)),
            *connection.execute(newest.where(table.taken_ms < since_ms).limit(1)),
        ]
        last_readings = [(row.taken_ms, row.millidegrees) for row in reversed(rows)]
        run = runs.read_run(connection, running[sensor]) if sensor in running else None
        found.append(SensorState(sensor, names.get(sensor, sensor), last.device, last_readings, run, own))
    return found


def _read_devices(connection: Connection, limits: _Limits, now_ms: int) -> Sequence[DeviceState]:
    table = schema.devices.c
    statement = (
        select(table.uuid, table.name, table.last_seen_ms, table.cloned_ms)
        .where(table.revoked_ms.is_(None))
        .order_by(table.id)
    )
    refused = refusals.read_times(connection, now_ms - rules.HOUR_MS)
    return [
        DeviceState(uuid, name, last_seen_ms, refused.get(uuid, ()), limits.of(f"device {uuid}"), cloned_ms)
        for uuid, name, last_seen_ms, cloned_ms in connection.execute(statement)
    ]


def _read_kegs(connection: Connection, limits: _Limits, language: Language, now_ms: int) -> Sequence[KegState]:
    running = tapping.read_running(connection, now_ms).values()
    left = volumes.read_left(connection, [one.subject for one in running])
    names = {one.subject: str(one.body["name"]) for one in entries.read_all(connection, "beverage")}
    found = []
    for one in running:
        gone = left[one.subject].volume_nl if one.subject in left else 0
        level = level_of(one.body["size_ml"], one.body.get("start_ml"), gone)
        name = names.get(one.body.get("beverage") or 0, tell(language, "a-keg", number=one.subject))
        found.append(KegState(one.subject, name, level, limits.of(f"keg {one.subject}")))
    return found


def _read_meters(
    connection: Connection, taps: dict[int, str], limits: _Limits, language: Language, now_ms: int
) -> Sequence[MeterState]:
    pours: dict[tuple[str, int], list[Poured]] = defaultdict(list)
    at: dict[tuple[str, int], int | None] = {}
    # What began a day and an hour ago may have ended within the last hour: a pour lasts a day at most.
    since_ms = now_ms - 25 * rules.HOUR_MS
    columns = volumes.SELECT_POURS.selected_columns
    statement = volumes.SELECT_POURS.where(columns["started_ms"] >= since_ms).order_by(columns["started_ms"])
    for row in connection.execute(statement):
        if row.adjustment == "void" or row.started_ms + row.elapsed_ms < now_ms - rules.HOUR_MS:
            continue
        pours[row.device, row.pin].append(Poured(row.started_ms, row.elapsed_ms, row.volume_nl))
        at[row.device, row.pin] = row.tap
    return [
        MeterState(
            device,
            pin,
            taps.get(at[device, pin] or 0, tell(language, "a-pin", number=pin)),
            found,
            limits.of(f"meter {device} {pin}"),
        )
        for (device, pin), found in pours.items()
    ]
