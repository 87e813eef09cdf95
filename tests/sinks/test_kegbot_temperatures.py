"""Temperatures to a Kegbot server of 1.x: one a minute a sensor, dated by the server."""

import sys

from kegnet_client.core.records import Reading
from kegnet_client.core.verdict import Disposition

from .kegbot_rig import Rig

ACCEPTED, REJECTED = Disposition.ACCEPTED, Disposition.REJECTED


def test_temperatures_are_told_once_a_minute_a_sensor_and_not_when_they_are_old(rig: Rig) -> None:
    def read(sensor: str, millidegrees: int, age_ms: int = 0) -> Disposition:
        return rig.send(Reading(sensor, millidegrees, rig.clock.now_ms - age_ms)).disposition

    rig.clock.now_ms = rig.clock.now_ms // 60_000 * 60_000
    for _ in range(2):
        assert read("28-000000000001", 3875) is ACCEPTED
        assert read("28-000000000002", -500) is ACCEPTED
    rig.clock.now_s += 60
    assert read("28-000000000001", 4000, age_ms=600_000) is ACCEPTED
    assert read("28-000000000001", 4125) is ACCEPTED
    assert rig.model.readings == [
        ("28-000000000001", 3.875),
        ("28-000000000002", -0.5),
        ("28-000000000001", 4.125),
    ]


def test_what_is_kept_of_temperatures_does_not_grow_with_the_sensors_there_ever_were(rig: Rig) -> None:
    def tell_of(sensors: range) -> None:
        for number in sensors:
            rig.send(Reading(f"28-{number:012x}", 3875, rig.clock.now_ms))

    tell_of(range(1000))
    before = _reach_bytes(rig.sink)
    for minute in range(2, 8):
        rig.clock.now_s += 60
        tell_of(range(1000 * minute, 1000 * minute + 1000))
    assert _reach_bytes(rig.sink) < before * 2


def _reach_bytes(sink: object) -> int:
    """How much memory the collections of ``sink`` take up."""
    return sum(sys.getsizeof(one) for one in vars(sink).values() if isinstance(one, dict | set | list))


def test_a_temperature_that_the_server_does_not_believe_is_rejected(rig: Rig) -> None:
    verdict = rig.send(Reading("28-000000000001", 85_000, rig.clock.now_ms))
    assert verdict.disposition is REJECTED
    assert "out of range" in verdict.reason
