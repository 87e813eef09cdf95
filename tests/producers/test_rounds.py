"""A round spools a reading with its true time, or none; of one sensor, and with one line a change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kegnet_client.core.records import Reading
from kegnet_client.core.wire.base_url import Version
from kegnet_client.core.wire.forms import call_for
from kegnet_client.producers.one_wire import BusReading

from ..support.clock import NOW_MS, FakeClock
from .stand_ins import KEG, NEVER, TAP, Make, Outbox, Plug

# --- rounds ----------------------------------------------------------------------------------------------------


def test_a_round_spools_what_the_sensor_reads_with_the_time_it_was_taken(
    make: Make, plug: Plug, outbox: Outbox
) -> None:
    plug(KEG, 3875)
    thermometer = make(interval_s=600.0)

    assert thermometer.one_round(NEVER) == 600.0

    reading = Reading(KEG, 3875, NOW_MS)
    assert outbox.all() == [reading]
    assert thermometer.latest() == {KEG: reading}
    assert (thermometer.problem, thermometer.not_taken) == (None, 0)


def test_a_failed_read_is_no_reading_and_never_the_last_value_again(
    make: Make, plug: Plug, outbox: Outbox, clock: FakeClock
) -> None:
    plug(KEG, 3875)
    thermometer = make()
    thermometer.one_round(NEVER)
    plug(KEG, "")
    clock.now_ms += 600_000
    thermometer.one_round(NEVER)

    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]
    assert thermometer.latest() == {KEG: Reading(KEG, 3875, NOW_MS)}
    assert (thermometer.problem or "").startswith(f"sensor {KEG} gives no reading: ")


def test_the_first_sensor_by_id_is_reported_where_none_is_configured(make: Make, plug: Plug, outbox: Outbox) -> None:
    plug(TAP, 5000)
    plug(KEG, 3875)
    thermometer = make()
    thermometer.one_round(NEVER)

    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]
    assert thermometer.latest().keys() == {KEG, TAP}


def test_the_first_sensor_by_id_that_reads_is_settled_on(make: Make, plug: Plug, outbox: Outbox) -> None:
    plug(KEG, "")
    plug(TAP, 5000)
    thermometer = make()
    thermometer.one_round(NEVER)
    plug(KEG, 3875)
    thermometer.one_round(NEVER)

    assert outbox.all() == [Reading(TAP, 5000, NOW_MS), Reading(TAP, 5000, NOW_MS + 1)]


def test_a_series_never_alternates_between_two_sensors(make: Make, plug: Plug, outbox: Outbox, bus: Path) -> None:
    plug(TAP, 5000)
    thermometer = make()
    thermometer.one_round(NEVER)
    plug(KEG, 3875)
    thermometer.one_round(NEVER)
    plug(TAP, "")
    thermometer.one_round(NEVER)
    assert outbox.all() == [Reading(TAP, 5000, NOW_MS), Reading(TAP, 5000, NOW_MS + 1)]

    shutil.rmtree(bus / TAP)
    thermometer.one_round(NEVER)
    plug(TAP, 5000)
    thermometer.one_round(NEVER)
    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)] * 2


def test_a_bus_that_was_away_comes_back_with_the_same_sensor(make: Make, plug: Plug, outbox: Outbox, bus: Path) -> None:
    plug(TAP, 5000)
    thermometer = make()
    thermometer.one_round(NEVER)
    shutil.rmtree(bus)
    thermometer.one_round(NEVER)
    bus.mkdir()
    plug(KEG, 3875)
    plug(TAP, 5000)
    thermometer.one_round(NEVER)

    assert outbox.all()[0] == Reading(TAP, 5000, NOW_MS)
    assert thermometer.latest().keys() == {KEG, TAP}


def test_the_configured_sensor_is_reported(make: Make, plug: Plug, outbox: Outbox) -> None:
    plug(KEG, 3875)
    plug(TAP, 5000)
    make(sensor=TAP).one_round(NEVER)

    assert outbox.all() == [Reading(TAP, 5000, NOW_MS + 1)]


def test_no_other_sensor_stands_in_for_the_configured_one(
    make: Make, plug: Plug, outbox: Outbox, lines: Callable[[], list[str]]
) -> None:
    plug(KEG, 3875)
    thermometer = make(sensor=TAP)
    for _ in range(3):
        thermometer.one_round(NEVER)

    assert outbox.all() == []
    missing = f"it is configured as the one to report and is not on the 1-Wire bus, which has {KEG}"
    assert thermometer.problem == f"sensor {TAP} gives no reading: {missing}"
    assert lines() == [f"sensor {KEG} reads: 3.9 °C", f"sensor {TAP} gives no reading, pours go on: {missing}"]


def test_a_protocol_for_all_sensors_gets_all(make: Make, plug: Plug, outbox: Outbox) -> None:
    plug(TAP, 5000)
    plug(KEG, 3875)
    make(all_sensors=True, sensor=TAP).one_round(NEVER)

    assert outbox.all() == [Reading(KEG, 3875, NOW_MS), Reading(TAP, 5000, NOW_MS + 1)]


@pytest.mark.case(56)
def test_sensors_that_read_the_same_in_one_round_are_as_many_records_without_their_names(
    make: Make, plug: Plug, outbox: Outbox
) -> None:
    plug(TAP, 5000)
    plug(KEG, 5000)
    make(all_sensors=True).one_round(NEVER)

    readings = outbox.all()
    assert len({call_for(reading, "uuid", Version.V2).canonical_string for reading in readings}) == 2


# --- changes, a line each --------------------------------------------------------------------------------------


def test_a_sensor_plugged_in_later_pulled_out_and_back_is_told_once_each(
    make: Make, plug: Plug, bus: Path, lines: Callable[[], list[str]]
) -> None:
    thermometer = make()

    def told_in_three_rounds() -> list[str]:
        for _ in range(3):
            thermometer.one_round(NEVER)
        return lines()

    empty = (
        f"no temperatures, pours go on: no temperature sensor on the 1-Wire bus at {bus}: "
        "check the wiring and the pull-up resistor (4.7 kΩ)"
    )
    assert told_in_three_rounds() == [empty]
    plug(KEG, 3875)
    assert told_in_three_rounds() == [f"sensor {KEG} reads: 3.9 °C"]
    plug(TAP, 5000)
    assert told_in_three_rounds() == [f"sensor {TAP} reads: 5.0 °C"]
    shutil.rmtree(bus / TAP)
    assert told_in_three_rounds() == [f"sensor {TAP} is gone from the 1-Wire bus"]
    shutil.rmtree(bus / KEG)
    assert told_in_three_rounds() == [empty]
    plug(KEG, 3875)
    assert told_in_three_rounds() == [f"sensor {KEG} reads: 3.9 °C"]
    plug(KEG, "")
    [failing] = told_in_three_rounds()
    assert failing.startswith(f"sensor {KEG} gives no reading, pours go on: ")
    plug(KEG, 85_000)
    assert told_in_three_rounds() == []
    plug(KEG, 4000)
    assert told_in_three_rounds() == [f"sensor {KEG} reads again: 4.0 °C"]
    assert thermometer.problem is None


def test_a_pi_without_1_wire_says_so_once(
    make: Make, tmp_path: Path, outbox: Outbox, lines: Callable[[], list[str]]
) -> None:
    thermometer = make(directory=tmp_path / "none", sensor=KEG)
    for _ in range(5):
        thermometer.one_round(NEVER)

    assert outbox.all() == []
    [line] = lines()
    assert line.startswith(f"no temperatures, pours go on: no 1-Wire bus at {tmp_path}/none: ")


def test_it_is_told_which_of_many_sensors_is_reported(make: Make, plug: Plug, lines: Callable[[], list[str]]) -> None:
    plug(KEG, 3875)
    plug(TAP, 5000)
    make().one_round(NEVER)

    assert lines()[-1] == f"of 2 sensors {KEG} is reported; [Thermometer] sensor names another"


# --- the spool -------------------------------------------------------------------------------------------------


def test_readings_that_the_spool_cannot_take_are_counted_and_told_once(
    make: Make, plug: Plug, outbox: Outbox, lines: Callable[[], list[str]]
) -> None:
    plug(KEG, 3875)
    thermometer = make()
    thermometer.one_round(NEVER)
    lines()
    outbox.all()

    outbox.full = True
    for _ in range(4):
        thermometer.one_round(NEVER)

    assert thermometer.not_taken == 4
    assert thermometer.problem == "less than 5 % of the disk is free: make room"
    assert lines() == ["temperatures are not taken for now: less than 5 % of the disk is free: make room"]
    assert outbox.all() == []

    outbox.full = False
    thermometer.one_round(NEVER)
    assert lines() == ["temperatures are taken again; 4 were not"]
    assert thermometer.problem is None
    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]


# --- the clock -------------------------------------------------------------------------------------------------


def test_no_reading_gets_a_time_from_1970(
    make: Make, plug: Plug, outbox: Outbox, clock: FakeClock, lines: Callable[[], list[str]]
) -> None:
    plug(KEG, 3875)
    clock.now_ms = 5_000
    thermometer = make(interval_s=600.0)

    assert [thermometer.one_round(NEVER) for _ in range(3)] == [60.0] * 3
    assert outbox.all() == []
    assert thermometer.latest() == {}
    assert (thermometer.problem or "").startswith("this machine's clock stands before ")
    assert [line for line in lines() if "clock" in line] == [
        f"temperatures wait for the clock, pours go on: {thermometer.problem}"
    ]

    clock.now_ms = NOW_MS
    assert thermometer.one_round(NEVER) == 600.0
    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]
    assert lines() == ["the clock is right now, temperatures go on"]
    assert thermometer.problem is None


def test_a_clock_hours_behind_after_a_boot_stamps_nothing_until_it_is_set(
    make: Make, plug: Plug, outbox: Outbox, clock: FakeClock
) -> None:
    plug(KEG, 3875)
    clock.now_s = 20.0
    clock.now_ms = NOW_MS - 280_000
    thermometer = make(interval_s=30.0)

    assert thermometer.one_round(NEVER) == 30.0
    assert outbox.all() == []

    clock.now_s = 300.0
    thermometer.one_round(NEVER)
    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]


def test_a_reading_is_stamped_with_the_clock_that_was_set_while_it_was_read(
    make: Make, clock: FakeClock, outbox: Outbox
) -> None:
    def read(_: Path) -> BusReading:
        clock.now_ms = NOW_MS
        return BusReading({KEG: 3875})

    clock.now_ms = 5_000
    make(read=read).one_round(NEVER)

    assert outbox.all() == [Reading(KEG, 3875, NOW_MS)]
