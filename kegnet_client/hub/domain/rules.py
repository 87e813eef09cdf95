"""What is wrong at a time: a pure function of what is known and of that time.

It remembers nothing. Each rule looks back by itself, so that a hub that was started again, or another one on the same
database, finds the same. What has just ended counts a while longer (`CALM_MS`), so that what is on the edge of a limit
does not come and go. A record that arrives late raises nothing: it only keeps up what stands already.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from kegnet_client.core.records import MAX_MILLIDEGREES, MIN_MILLIDEGREES
from kegnet_client.hub.domain import measures
from kegnet_client.hub.domain.alarm_texts import span, tell
from kegnet_client.hub.domain.levels import Level
from kegnet_client.hub.domain.measures import Units
from kegnet_client.hub.domain.meters import NANOLITRES_PER_ML, is_drips
from kegnet_client.hub.domain.numerals import Language
from kegnet_client.hub.domain.profiles import Run
from kegnet_client.hub.domain.refusal_texts import WrongValueError

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
CALM_MS = 15 * MINUTE_MS
"""So long something stays wrong after it was for the last time; what is older when it arrives is late."""
AHEAD_MS = 5 * MINUTE_MS
"""A record that is further ahead of our clock tells nothing about now."""
OUNCE_NL = 29_573_530

_MAX_MS = 30 * 24 * HOUR_MS
_SPAN = MAX_MILLIDEGREES - MIN_MILLIDEGREES
_BOUNDS = {
    "off_profile_millidegrees": (1, _SPAN),
    "lowest_millidegrees": (MIN_MILLIDEGREES, MAX_MILLIDEGREES),
    "highest_millidegrees": (MIN_MILLIDEGREES, MAX_MILLIDEGREES),
    "off_for_ms": (0, _MAX_MS),
    "sensor_silent_ms": (MINUTE_MS, _MAX_MS),
    "device_silent_ms": (MINUTE_MS, _MAX_MS),
    "keg_below_percent": (1, 100),
    "longest_pour_ms": (1000, 24 * HOUR_MS),
    "fastest_pour_nl_per_s": (NANOLITRES_PER_ML, 10_000 * NANOLITRES_PER_ML),
    "drips_nl_per_hour": (NANOLITRES_PER_ML, 100_000 * NANOLITRES_PER_ML),
    "refused_per_hour": (0, 1_000_000),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits; None is none. `ValueError` names the field that is out of its own bounds.

    A device that sends every ten minutes, as it does unless it is told otherwise, is silent when two did not come.
    """

    off_profile_millidegrees: int | None = 1000
    lowest_millidegrees: int | None = None
    highest_millidegrees: int | None = None
    off_for_ms: int = HOUR_MS
    sensor_silent_ms: int | None = 25 * MINUTE_MS
    device_silent_ms: int | None = 25 * MINUTE_MS
    keg_below_percent: int | None = 15
    longest_pour_ms: int | None = 3 * MINUTE_MS
    fastest_pour_nl_per_s: int | None = 4 * OUNCE_NL
    drips_nl_per_hour: int | None = 250 * NANOLITRES_PER_ML
    refused_per_hour: int | None = 10

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if value is None and name != "off_for_ms":
                continue
            if type(value) is not int or not least <= value <= most:
                raise WrongValueError("limit-out-of-range", name=name, least=least, most=most)
        low, high = self.lowest_millidegrees, self.highest_millidegrees
        if low is not None and high is not None and low > high:
            raise WrongValueError("low-above-high")

    def with_own(self, own: Mapping[str, int | None]) -> "Rules":
        """These, but ``own`` for what it names: what a person said of one sensor, meter, keg or device."""
        unknown = own.keys() - {one.name for one in fields(self)}
        if unknown:
            raise WrongValueError("no-such-limit", name=min(unknown))
        values: dict[str, Any] = dict(own)
        return replace(self, **values)


DEFAULT = Rules()


@dataclass(frozen=True, slots=True)
class SensorState:
    """A sensor, and its ``readings`` as times and millidegrees, the oldest first.

    Needed are the last one, those in the `look_back_ms` before it, and the one before those. ``run`` is the profile
    that runs on it.
    """

    sensor: str
    name: str
    device: str
    readings: Sequence[tuple[int, int]]
    run: Run | None = None
    rules: Rules = DEFAULT


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device that is not revoked; ``refused`` says when how many records were refused from it."""

    device: str
    name: str
    last_seen_ms: int | None
    refused: Sequence[tuple[int, int]] = ()
    rules: Rules = DEFAULT
    cloned_ms: int | None = None
    """When two machines were last seen to send as this device."""


@dataclass(frozen=True, slots=True)
class KegState:
    """A keg that runs from a tap now."""

    keg: int
    name: str
    level: Level
    rules: Rules = DEFAULT


@dataclass(frozen=True, slots=True)
class Poured:
    """A pour that is not void; ``volume_nl`` is None where its meter is not known."""

    started_ms: int
    elapsed_ms: int
    volume_nl: int | None


@dataclass(frozen=True, slots=True)
class MeterState:
    """A meter and the pours that ended in the last hour; ``name`` is its tap's, if it has one."""

    device: str
    pin: int
    name: str
    pours: Sequence[Poured]
    rules: Rules = DEFAULT


@dataclass(frozen=True, slots=True)
class State:
    """What is known. Nobody is silent while the hub did not listen: ``listening_since_ms`` is when it began to.

    What is found is told in ``units`` and in ``language``.
    """

    listening_since_ms: int
    sensors: Sequence[SensorState] = ()
    devices: Sequence[DeviceState] = ()
    kegs: Sequence[KegState] = ()
    meters: Sequence[MeterState] = ()
    units: Units = "metric"
    language: Language = "en"


@dataclass(frozen=True, slots=True)
class Finding:
    """``rule`` is broken by ``subject``, such as "keg 7". One that is not fresh raises no alarm, but keeps it up."""

    rule: str
    subject: str
    text: str
    is_fresh: bool = field(default=True, kw_only=True)


def look_back_ms(rules: Rules) -> int:
    """How far before its last reading a sensor's readings are needed."""
    return rules.off_for_ms + CALM_MS


def judge(state: State, now_ms: int) -> list[Finding]:
    """All that is wrong at ``now_ms``: of each rule and subject at most one."""
    found: list[Finding] = []
    for device in state.devices:
        found += _judge_device(device, state, now_ms)
    silent = {one.subject for one in found if one.rule == "device-silent"}
    for sensor in state.sensors:
        found += _judge_sensor(sensor, state, now_ms, f"device {sensor.device}" in silent)
    for keg in state.kegs:
        found += _judge_keg(keg, state)
    for meter in state.meters:
        found += _judge_meter(meter, state, now_ms)
    return found


def _judge_device(device: DeviceState, state: State, now_ms: int) -> Iterator[Finding]:
    rules, subject, language = device.rules, f"device {device.device}", state.language

    def find(rule: str, **fields: object) -> Finding:
        return Finding(rule, subject, tell(language, rule, name=device.name, **fields))

    if rules.device_silent_ms is not None and device.last_seen_ms is not None:
        silent_ms = now_ms - max(device.last_seen_ms, state.listening_since_ms)
        if silent_ms > rules.device_silent_ms:
            yield find("device-silent", span=span(language, silent_ms))
    refused = sum(count for at_ms, count in device.refused if now_ms - HOUR_MS < at_ms <= now_ms)
    if rules.refused_per_hour is not None and refused > rules.refused_per_hour:
        yield find("refused", count=refused)
    if device.cloned_ms is not None and now_ms - device.cloned_ms < HOUR_MS:
        yield find("cloned")


def _judge_sensor(sensor: SensorState, state: State, now_ms: int, device_is_silent: bool) -> Iterator[Finding]:
    rules, subject, language = sensor.rules, f"sensor {sensor.sensor}", state.language
    readings = [one for one in sensor.readings if one[0] <= now_ms + AHEAD_MS]
    last_ms = readings[-1][0] if readings else 0 if sensor.readings else None
    if rules.sensor_silent_ms is not None and last_ms is not None:
        silent_ms = now_ms - max(last_ms, state.listening_since_ms)
        if silent_ms > rules.sensor_silent_ms:
            # Where the whole device is silent, that is what is wrong.
            text = tell(language, "sensor-silent", name=sensor.name, span=span(language, silent_ms))
            yield Finding("sensor-silent", subject, text, is_fresh=not device_is_silent)

    def told(millidegrees: int) -> str:
        return measures.temperature(millidegrees, state)

    def find(rule: str, is_off: Callable[[int, int], bool], against: Callable[[int], int]) -> Iterator[Finding]:
        off = _last_off(readings, is_off, rules.off_for_ms)
        if off is not None:
            value, limit = told(off[1]), told(against(off[0]))
            lasted = span(language, rules.off_for_ms)
            text = tell(language, rule, name=sensor.name, value=value, limit=limit, span=lasted)
            yield Finding(rule, subject, text, is_fresh=now_ms - off[0] <= CALM_MS)

    run, limit = sensor.run, rules.off_profile_millidegrees
    if run is not None and limit is not None:

        def is_off(taken_ms: int, millidegrees: int) -> bool:
            wanted = run.set_point(taken_ms)
            return wanted is not None and abs(millidegrees - wanted) > limit

        yield from find("off-profile", is_off, lambda at_ms: run.set_point(at_ms) or 0)
    low, high = rules.lowest_millidegrees, rules.highest_millidegrees
    if low is not None:
        yield from find("too-cold", lambda _, value: value < low, lambda _: low)
    if high is not None:
        yield from find("too-warm", lambda _, value: value > high, lambda _: high)


def _last_off(
    readings: Sequence[tuple[int, int]], is_off: Callable[[int, int], bool], for_ms: int
) -> tuple[int, int] | None:
    """The last reading of those that are off in a row for ``for_ms``, unless others refute it for `CALM_MS`."""
    since_ms, found = None, None
    for taken_ms, value in readings:
        if not is_off(taken_ms, value):
            since_ms = None
            continue
        since_ms = taken_ms if since_ms is None else since_ms
        if taken_ms - since_ms >= for_ms:
            found = taken_ms, value
    return found if found is not None and readings[-1][0] - found[0] <= CALM_MS else None


def _judge_keg(keg: KegState, state: State) -> Iterator[Finding]:
    limit, level = keg.rules.keg_below_percent, keg.level
    if limit is not None and level.left_nl * 100 < limit * level.full_nl:
        left = measures.volume(level.left_ml, state)
        text = tell(state.language, "keg-low", name=keg.name, volume=left, percent=level.percent)
        yield Finding("keg-low", f"keg {keg.keg}", text)


def _judge_meter(meter: MeterState, state: State, now_ms: int) -> Iterator[Finding]:
    rules, subject, language = meter.rules, f"meter {meter.device} {meter.pin}", state.language

    def find(rule: str, **fields: object) -> Finding:
        return Finding(rule, subject, tell(language, rule, name=meter.name, **fields))

    known = [one for one in meter.pours if -AHEAD_MS <= now_ms - _ended_ms(one) < HOUR_MS]
    recent = [one for one in known if now_ms - _ended_ms(one) <= CALM_MS]
    longest = max((one.elapsed_ms for one in recent), default=0)
    if rules.longest_pour_ms is not None and longest > rules.longest_pour_ms:
        yield find("pour-too-long", span=span(language, longest))
    fastest = max((_nl_per_s(one) for one in recent), default=0)
    if rules.fastest_pour_nl_per_s is not None and fastest > rules.fastest_pour_nl_per_s:
        yield find("pour-too-fast", volume=measures.small_volume(fastest // NANOLITRES_PER_ML, state))
    drips = sum(one.volume_nl or 0 for one in known if is_drips(one.volume_nl or 0, one.elapsed_ms))
    if rules.drips_nl_per_hour is not None and drips > rules.drips_nl_per_hour:
        yield find("drips", volume=measures.small_volume(drips // NANOLITRES_PER_ML, state))


def _ended_ms(pour: Poured) -> int:
    return pour.started_ms + pour.elapsed_ms


def _nl_per_s(pour: Poured) -> int:
    """How fast it was; what took less than a second is taken for a second, because a pulse alone takes no time."""
    return (pour.volume_nl or 0) * 1000 // max(1000, pour.elapsed_ms)
