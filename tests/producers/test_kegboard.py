"""What a board says becomes pours and readings, and each thing that is wrong with it one line."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.core.errors import BoardError, SpoolError
from kegnet_client.core.flow import FlowRules
from kegnet_client.core.records import Pour, Reading
from kegnet_client.core.wire.kegboard import Event, FramingBroken, FramingFixed
from kegnet_client.core.wire.kegboard_messages import (
    AuthTokenMessage,
    BadMessage,
    HelloMessage,
    OutputStatusMessage,
    TemperatureReadingMessage,
    UnknownMessage,
    sensor_name,
)
from kegnet_client.producers.base import Stop
from kegnet_client.producers.board_sensors import ReadingRules
from kegnet_client.producers.total_meters import TotalMeters

from ..support.clock import NOW_MS, UNSYNCHRONISED, FakeClock
from .board_stand import IDLE_S, RUNNING_S, Line, Said, Stand, hello, total

KEG = TemperatureReadingMessage("thermo-7c0000009b596628", 3_875_000)
TAP = TemperatureReadingMessage(sensor_name("28-0316a2795c5b"), 4_000_000)

Lines = Callable[[], list[str]]


def test_a_pour_has_its_pulses_its_times_and_the_meter_s_number(stand: Stand, lines: Lines) -> None:
    stand.hear(hello(RUNNING_S), total(1000, "flow1"), 2.0, total(1200, "flow1"), 3.0, total(1500, "flow1"), IDLE_S)
    assert stand.records() == [Pour(1, 500, 5000, NOW_MS)]
    assert "a Kegboard at /dev/ttyUSB0, version 18, serial number 'KB-1'" in lines()[0]


def test_a_second_board_has_pins_of_its_own(stand: Stand) -> None:
    stand.hear(hello(RUNNING_S), total(0), 1.0, total(100), IDLE_S, first_pin=6)
    assert stand.pours() == [(6, 100)]


def test_a_board_that_was_reset_by_the_opening_counts_from_its_first_pulse(stand: Stand) -> None:
    stand.hear(1.8, hello(0.1), 60.0, total(30), 0.2, total(100), IDLE_S)
    assert stand.pours() == [(0, 100)]


def test_what_flowed_while_nobody_listened_is_a_pour_of_its_own(stand: Stand) -> None:
    stand.hear(hello(RUNNING_S), total(1000), 1.0, total(1100), IDLE_S)
    stand.hear(hello(RUNNING_S + 100), total(1700), 0.5, total(1800), IDLE_S)
    assert sorted(stand.pours()) == [(0, 100), (0, 100), (0, 600)]


@pytest.mark.case(160)
def test_what_flows_right_after_a_first_total_that_was_taken_late_is_counted(stand: Stand) -> None:
    stand.hear(hello(RUNNING_S), total(1000), 0.03, total(1600), IDLE_S)
    stand.hear(hello(RUNNING_S + 100), total(1700), 0.03, total(2300), IDLE_S)
    assert sorted(stand.pours()) == [(0, 100), (0, 600), (0, 600)]


def test_but_not_if_the_board_began_anew_meanwhile(stand: Stand) -> None:
    stand.hear(hello(RUNNING_S), total(1000), 1.0, total(1100), IDLE_S)
    stand.hear(2.0, hello(0.2), total(60), 0.5, total(200), IDLE_S)
    assert stand.pours() == [(0, 100), (0, 200)]


@pytest.mark.parametrize("said", [hello(0.3), hello(None, 8)])
def test_a_reset_in_the_middle_of_a_pour_costs_nothing_that_was_told(stand: Stand, said: HelloMessage) -> None:
    stand.hear(hello(RUNNING_S), total(1000), 1.0, total(1100), 1.0, said, 1.0, total(50), 1.0, total(100), IDLE_S)
    assert stand.pours() == [(0, 200)]


@pytest.mark.case(97)
@pytest.mark.parametrize("version", [8, 18])
def test_a_board_that_says_hello_every_second_is_told_once_and_counts_as_ever(
    stand: Stand, lines: Lines, version: int
) -> None:
    script: list[Said] = [total(50_000)]
    for second in range(100):
        script += [hello(RUNNING_S + second if version == 18 else None, version), 1.0, total(50_001 + second)]
    stand.hear(*script, IDLE_S)
    assert stand.pours() == [(0, 100)]
    assert len([line for line in lines() if "a Kegboard at" in line]) == 1


@pytest.mark.case(98)
def test_a_total_that_goes_back_without_a_reason_is_one_line_and_no_pour(stand: Stand, lines: Lines) -> None:
    script: list[Said] = [hello(RUNNING_S), total(1_000_000), 1.0, total(1_000_100)]
    for _ in range(5):
        script += [1.0, total(500_000), 1.0, total(1_000_100)]
    stand.hear(*script, IDLE_S)
    assert stand.pours() == [(0, 100)]
    assert len([line for line in lines() if "which no meter does" in line]) <= 10
    assert stand.board.problem is not None


def test_a_total_that_wraps_counts_on(stand: Stand) -> None:
    stand.hear(hello(RUNNING_S), total(2**32 - 50), 1.0, total(50), IDLE_S)
    assert stand.pours() == [(0, 100)]


def test_a_meter_that_chatters_is_no_pour(stand: Stand, lines: Lines) -> None:
    stand.hear(hello(RUNNING_S), total(0), 1.0, total(90_000), 1.0, total(180_000), IDLE_S)
    assert stand.pours() == []
    assert len([line for line in lines() if "faster than 2000 a second" in line]) == 1
    assert "pin 0: pulses come faster" in (stand.board.problem or "")


def test_totals_that_come_late_and_several_at_a_time_are_all_counted(stand: Stand, lines: Lines) -> None:
    script: list[Said] = [hello(RUNNING_S), total(0), 1.0]
    for round_number in range(1, 101):  # 640 pulses a second, of which every third report is late
        script += [0.19, total(64 * round_number)] if round_number % 3 else [0.01, total(64 * round_number)]
    stand.hear(*script, IDLE_S)
    assert stand.pours() == [(0, 6400)]
    assert stand.board.problem is None


def test_what_flows_when_the_board_is_unplugged_ends_as_a_pour(stand: Stand, lines: Lines) -> None:
    lost, absent = BoardError("ttyUSB0: the board was unplugged"), BoardError("ttyUSB0: no such device")
    stand.hear(hello(RUNNING_S), total(1000), 1.0, total(1100), lost, absent, absent, hello(0.1), 5.0)
    assert stand.pours() == [(0, 100)]
    said = lines()
    assert [line for line in said if "bar: ttyUSB0" in line] == [
        "bar: ttyUSB0: the board was unplugged; it is tried again"
    ]
    assert "bar: the board is back at /dev/ttyUSB0" in said
    assert stand.board.problem is None


def test_a_kill_in_the_middle_of_a_pour_doubles_nothing(stand: Stand, tmp_path: Path) -> None:
    stand.hear(hello(RUNNING_S), total(1000), 1.0, total(1100), 1.0, total(1200))
    assert stand.pours() == [(0, 200)]
    stand.hear(hello(RUNNING_S + 10), total(1250), 1.0, total(1400), IDLE_S)
    assert sum(pulses for _, pulses in stand.pours()) == 400


def test_each_sensor_is_read_at_once_and_then_once_an_interval(stand: Stand) -> None:
    script: list[Said] = [KEG, 1.0, TAP, 1.0]
    stand.hear(*script * 50)
    assert stand.readings() == [("28-0000009b5966", 3875), ("28-0316a2795c5b", 4000)] * 2
    assert len({one.taken_ms for one in stand.records() if isinstance(one, Reading)}) == 4


def test_a_server_of_one_temperature_a_device_gets_one_series(stand: Stand) -> None:
    stand.rules = ReadingRules(60.0, None, False)
    stand.hear(TAP, KEG)
    stand.rules = ReadingRules(60.0, "28-0000009b5966", False)
    stand.hear(TAP, KEG)
    assert set(stand.readings()) == {("28-0316a2795c5b", 4000), ("28-0000009b5966", 3875)}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (TemperatureReadingMessage(KEG.sensor_name, 85_000_000), "28-0000009b5966 gives no reading: it says 85 °C"),
        (TemperatureReadingMessage(KEG.sensor_name, 2_000_000_000), "it says 2000 °C, which is not a temperature"),
        (TemperatureReadingMessage("thermo-7d0000009b596628", 4_000_000), "fails its check sum"),
        (TemperatureReadingMessage("thermo-\n", 4_000_000), "is not a sensor's name"),
    ],
)
def test_what_is_no_reading_is_one_line_and_pours_go_on(
    stand: Stand, lines: Lines, said: TemperatureReadingMessage, why: str
) -> None:
    script: list[Said] = [said, 61.0]
    stand.hear(*script * 5, total(0), 1.0, total(100), IDLE_S)
    assert (stand.readings(), stand.pours()) == ([], [(0, 100)])
    assert [why in line for line in lines() if "gives no reading" in line] == [True]
    assert why in (stand.board.problem or "")


def test_a_sensor_that_reads_again_is_told(stand: Stand, lines: Lines) -> None:
    stand.hear(TemperatureReadingMessage(KEG.sensor_name, 85_000_000), 1.0, KEG)
    assert "sensor 28-0000009b5966 reads again" in lines()
    assert (stand.board.problem, stand.readings()) == (None, [("28-0000009b5966", 3875)])


def test_a_clock_in_doubt_keeps_readings_from_being_stamped_and_no_pour(stand: Stand, lines: Lines) -> None:
    stand.clock = FakeClock(since_boot_s=20.0, kernel=UNSYNCHRONISED)
    stand.hear(KEG, 1.0, KEG)
    assert stand.readings() == []
    assert len([line for line in lines() if "temperatures wait for the clock" in line]) == 1


def test_a_spool_that_takes_no_reading_is_one_line(stand: Stand, lines: Lines) -> None:
    def refuse(_reading: Reading) -> object:
        raise SpoolError("less than 5 % of the disk is free: make room")

    stand.enqueue = refuse
    script: list[Said] = [KEG, 61.0]
    stand.hear(*script * 3, total(0), 1.0, total(100), IDLE_S)
    assert len([line for line in lines() if "temperatures are not taken" in line]) == 1
    assert stand.board.status()["readings_not_taken"] == 3
    assert stand.pours() == [(0, 100)]


@pytest.mark.case(99)
@pytest.mark.parametrize(
    ("said", "line"),
    [
        (BadMessage(0x10, "meter_reading is missing"), "messages that are none (0x10: meter_reading is missing)"),
        (total(5, "relay0"), "'relay0' is not a meter's name"),
        (total(5, "flow99"), "there is no pin for the meter flow99"),
        (FramingBroken("found 0x00, expected 0x4b"), "Packet framing broken (found 0x00, expected 0x4b)"),
    ],
)
def test_what_a_board_says_wrongly_is_one_line_and_the_rest_is_taken(
    stand: Stand, lines: Lines, said: Event, line: str
) -> None:
    script: list[Said] = [total(0)]
    for second in range(1, 101):
        script += [said, FramingFixed(7), UnknownMessage(0x77), 1.0, total(second)]
    stand.hear(*script, 9.0)
    assert stand.pours() == [(0, 100)]
    assert len([one for one in lines() if line in one]) == 1


def test_framing_is_in_order_again_once_nothing_broke_it_for_a_while(stand: Stand, lines: Lines) -> None:
    stand.hear(FramingBroken("noise"), FramingFixed(3), 5.0, FramingBroken("noise"), FramingFixed(3), 11.0)
    assert [line for line in lines() if "framing" in line] == [
        "bar: Packet framing broken (noise); reframing.",
        "bar: packet framing fixed",
    ]
    assert stand.board.problem is None


def test_tokens_and_relays_are_shown(stand: Stand, lines: Lines) -> None:
    stand.hear(AuthTokenMessage("core.rfid", bytes.fromhex("7af084010f"), 1), OutputStatusMessage("relay0", True))
    assert "bar: token 0f0184f07a of 'core.rfid' came" in lines()
    stand.hear(AuthTokenMessage("core.rfid", bytes.fromhex("7af084010f"), 0), OutputStatusMessage("relay0", False))
    assert {"bar: token 0f0184f07a of 'core.rfid' went", "bar: 'relay0' is off"} <= set(lines())


def test_the_status_says_all_that_is_to_know(stand: Stand) -> None:
    stand.hear(hello(RUNNING_S), KEG, total(0), 1.0, total(100), IDLE_S, total(120), 1.0, BoardError("gone"), 1.0)
    said = stand.board.status()
    assert (said["firmware_version"], said["serial_number"], said["device"]) == (18, "KB-1", str(Line.path))
    meters: Any = said["meters"]
    (meter,) = meters
    assert meter["pin"] == 0
    assert meter["total"] == 120
    assert meter["pours"] == 2
    assert said["temperatures"] == [{"sensor": "28-0000009b5966", "millidegrees": 3875, "taken_ms": NOW_MS}]


def test_whoever_shows_it_hears_of_what_begins_and_ends_and_not_of_each_total(stand: Stand) -> None:
    stand.hear(hello(RUNNING_S), total(0), *[x for n in range(1, 500) for x in (0.1, total(n))], IDLE_S)
    assert stand.told < 60


def test_a_spool_that_is_away_at_first_costs_no_pulse(stand: Stand, lines: Lines) -> None:
    stop = Stop()
    spool = stand.spool.rename(stand.spool.with_name("away"))
    meters = TotalMeters(stand.spool, "kegboard", "bar", FlowRules(), stand.clock)
    with pytest.raises(SpoolError):
        meters.start()
    meters.take(0, 100)
    stand.clock.now_s += 1
    meters.take(0, 200)
    assert meters.problem is not None
    spool.rename(stand.spool)
    stand.clock.now_s += 1
    meters.take(0, 300)
    assert meters.problem is None
    meters.close()
    assert sum(pulses for _, pulses in stand.pours()) == 200
    assert not stop.is_set()
    assert meters.due_s == math.inf
