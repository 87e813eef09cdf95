"""The life of an alarm: it is raised once, and stands until its cause is gone and somebody has acknowledged it.

======================  ===============  ============
state                   the cause        acknowledged
======================  ===============  ============
`State.RAISED`          is there         no
`State.ACKNOWLEDGED`    is there         yes
`State.CLEARED`         is gone          no
`State.ENDED`           is gone          yes
======================  ===============  ============

A cause that comes back before somebody acknowledged is the same alarm; after its end it is another one. Every `Moment`
is kept; an `Alarm` is what they come to. What others publish has no cause that could be looked at: it is raised and
cleared at once, and stands until it is acknowledged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from kegnet_client.hub.domain.rules import Finding
from kegnet_client.hub.domain.texts import MAX_NAME, clean

PUBLISHED = "published"
"""The rule of what others publish."""

Key = tuple[str, str]
"""A rule and what breaks it; of each at most one alarm stands."""


class What(Enum):
    """What happens to an alarm."""

    RAISED = "raised"
    CLEARED = "cleared"
    ACKNOWLEDGED = "acknowledged"


class State(Enum):
    """How far its life is."""

    RAISED = "raised"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something happened to the alarm of ``key``; ``by`` is the name of the token that acknowledged."""

    key: Key
    what: What
    at_ms: int
    text: str = ""
    by: str = ""

    @property
    def is_news(self) -> bool:
        """Whether those who are not looking are told."""
        return self.what is What.RAISED or (self.what is What.CLEARED and self.key[0] != PUBLISHED)


@dataclass(frozen=True, slots=True)
class Alarm:
    """``text`` is that of the last time it was raised, of ``times``; ``raised_ms`` is the first time."""

    key: Key
    text: str
    raised_ms: int
    times: int = 1
    cleared_ms: int | None = None
    acknowledged_ms: int | None = None
    acknowledged_by: str = ""

    @property
    def state(self) -> State:
        """How far its life is."""
        if self.cleared_ms is None:
            return State.RAISED if self.acknowledged_ms is None else State.ACKNOWLEDGED
        return State.CLEARED if self.acknowledged_ms is None else State.ENDED


def live(alarm: Alarm | None, moment: Moment) -> Alarm:
    """The alarm after ``moment``; None is one that was not raised yet. `ValueError` for what cannot happen to it."""
    if alarm is None:
        if moment.what is not What.RAISED:
            raise ValueError(f"{moment.what.value}: there is no alarm that stands")
        return Alarm(moment.key, moment.text, moment.at_ms)
    match moment.what, alarm.state:
        case What.RAISED, State.CLEARED:
            return replace(alarm, text=moment.text, times=alarm.times + 1, cleared_ms=None)
        case What.CLEARED, State.RAISED | State.ACKNOWLEDGED:
            return replace(alarm, cleared_ms=moment.at_ms)
        case What.ACKNOWLEDGED, State.RAISED | State.CLEARED if moment.by:
            return replace(alarm, acknowledged_ms=moment.at_ms, acknowledged_by=moment.by)
    raise ValueError(f"{moment.what.value}: the alarm is {alarm.state.value}")


def follow(standing: Mapping[Key, Alarm], findings: Iterable[Finding], now_ms: int) -> list[Moment]:
    """What happens to the alarms when ``findings`` are all that is wrong.

    ``standing`` are the alarms that stand, of what was judged.
    """
    found = {(one.rule, one.subject): one for one in findings}
    raised = [
        Moment(key, What.RAISED, now_ms, one.text)
        for key, one in found.items()
        if one.is_fresh and (key not in standing or standing[key].state is State.CLEARED)
    ]
    cleared = [
        Moment(key, What.CLEARED, now_ms, alarm.text)
        for key, alarm in standing.items()
        if key not in found and alarm.cleared_ms is None
    ]
    return raised + cleared


def acknowledge(alarm: Alarm, by: str, now_ms: int) -> list[Moment]:
    """What happens when ``by`` acknowledges ``alarm``: nothing, if somebody did before."""
    if alarm.acknowledged_ms is not None:
        return []
    return [Moment(alarm.key, What.ACKNOWLEDGED, now_ms, alarm.text, by)]


def publish(standing: Mapping[Key, Alarm], source: str, code: str, text: str, now_ms: int) -> list[Moment]:
    """What happens when a program says that something is wrong: nothing, if it said so before and it still stands."""
    key = (PUBLISHED, clean(f"{source} {code}", MAX_NAME))
    if key in standing:
        return []
    return [Moment(key, what, now_ms, clean(text)) for what in (What.RAISED, What.CLEARED)]


def at_tap(
    standing: Iterable[Alarm], keg: int | None, sensor: str | None, meter: tuple[str, int] | None
) -> list[Alarm]:
    """Those of the keg, the thermometer and the meter (a device and a pin) of a tap, and of that device.

    What others publish is at no tap, whatever its source is called.
    """
    subjects = {f"keg {keg}", f"sensor {sensor}"}
    if meter is not None:
        device, pin = meter
        subjects |= {f"device {device}", f"meter {device} {pin}"}
    return [one for one in standing if one.key[0] != PUBLISHED and one.key[1] in subjects]
