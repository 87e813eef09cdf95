"""The simulated Kegboard does what the firmware's version 18 does, at its pace."""

import pytest

from kegnet_client.core.wire.kegboard import Decoder, FramingBroken, FramingFixed, encode
from kegnet_client.core.wire.kegboard_messages import (
    AuthTokenMessage,
    HelloMessage,
    Message,
    MeterStatusMessage,
    OutputStatusMessage,
    PingCommand,
    SetOutputCommand,
    SetSerialNumberCommand,
    TemperatureReadingMessage,
)
from kegnet_client.demo.simulated_kegboard import SimulatedBoard

KEG = "28-0000009b5966"


class Listener:
    """What ``board`` says from one look to the next, at a time that is told."""

    def __init__(self, board: SimulatedBoard) -> None:
        self.board = board
        self.decoder = Decoder()

    def until(self, now_s: float) -> list[object]:
        return list(self.decoder.feed(self.board.tick(now_s)))

    def tell(self, command: Message, now_s: float) -> list[object]:
        self.board.hear(encode(command), now_s)
        return self.until(now_s)


@pytest.fixture
def board() -> SimulatedBoard:
    return SimulatedBoard(100.0, serial_number="KB-0000-0000-0123abcd")


@pytest.fixture
def listener(board: SimulatedBoard) -> Listener:
    listener = Listener(board)
    assert listener.until(100.0) == [HelloMessage(18, None, "KB-0000-0000-0123abcd", 0, 0)]
    return listener


def test_it_says_hello_every_ten_seconds_and_when_it_is_asked(listener: Listener) -> None:
    assert listener.until(109.9) == []
    assert listener.until(110.0) == [HelloMessage(18, None, "KB-0000-0000-0123abcd", 10_000, 0)]
    assert listener.tell(PingCommand(), 110.1) == [HelloMessage(18, None, "KB-0000-0000-0123abcd", 10_100, 0)]


def test_a_day_is_told_as_one(board: SimulatedBoard) -> None:
    said = Listener(board).until(100.0 + 86_401.5)
    assert said == [HelloMessage(18, None, "KB-0000-0000-0123abcd", 1500, 1)]


def test_a_total_is_told_only_when_it_changed_and_all_pulses_come(listener: Listener, board: SimulatedBoard) -> None:
    board.pour(100.0, 1, 100, 50.0)
    assert listener.until(101.0) == [MeterStatusMessage("flow1", 50)]
    assert listener.until(101.0) == []
    assert listener.until(105.0) == [MeterStatusMessage("flow1", 100)]
    assert listener.until(106.0) == []


def test_two_flows_of_a_meter_add_up(listener: Listener, board: SimulatedBoard) -> None:
    board.pour(100.0, 0, 10, 1000.0)
    board.pour(100.0, 0, 5, 1000.0)
    board.pour(100.0, 1, 7, 1000.0)
    assert listener.until(101.0) == [MeterStatusMessage("flow0", 15), MeterStatusMessage("flow1", 7)]


def test_a_reset_makes_its_totals_begin_anew(listener: Listener, board: SimulatedBoard) -> None:
    board.pour(100.0, 0, 1000, 100.0)
    listener.until(102.0)
    board.reset(102.0)
    assert listener.until(102.0) == [HelloMessage(18, None, "KB-0000-0000-0123abcd", 0, 0)]
    assert listener.until(108.0) == []
    board.pour(108.0, 0, 3, 100.0)
    assert listener.until(109.0) == [MeterStatusMessage("flow0", 3)]


def test_its_thermometers_are_read_one_after_the_other(listener: Listener, board: SimulatedBoard) -> None:
    board.sensors |= {KEG: 3875, "28-0316a2795c5b": -500}
    said = [event for second in (101, 102, 103) for event in listener.until(second)]
    assert [(one.sensor_reading) for one in said if isinstance(one, TemperatureReadingMessage)] == [
        3_875_000,
        -500_000,
        3_875_000,
    ]
    assert said[0] == TemperatureReadingMessage("thermo-7c0000009b596628", 3_875_000)


def test_a_relay_goes_off_ten_seconds_after_it_was_told_last(listener: Listener) -> None:
    assert listener.tell(SetOutputCommand(1, True), 101.0) == [OutputStatusMessage("relay1", True)]
    assert listener.tell(SetOutputCommand(1, True), 105.0) == []
    listener.until(110.0)
    assert listener.until(115.0) == [OutputStatusMessage("relay1", False)]
    assert listener.tell(SetOutputCommand(1, False), 116.0) == []
    assert listener.tell(SetOutputCommand(6, True), 116.0) == []


def test_a_serial_number_is_given_once() -> None:
    listener = Listener(SimulatedBoard(0.0))
    assert listener.until(0.0) == [HelloMessage(18, None, None, 0, 0)]
    assert listener.tell(SetSerialNumberCommand("KB-1"), 1.0) == [HelloMessage(18, None, "KB-1", 1000, 0)]
    assert listener.tell(SetSerialNumberCommand("KB-2"), 2.0) == []


def test_a_token_is_told(listener: Listener, board: SimulatedBoard) -> None:
    board.show_token("onewire", b"\x01\x02", is_there=True)
    board.show_token("onewire", b"\x01\x02", is_there=False)
    assert listener.until(100.1) == [
        AuthTokenMessage("onewire", b"\x01\x02", 1),
        AuthTokenMessage("onewire", b"\x01\x02", 0),
    ]


def test_its_noise_is_no_frame(listener: Listener, board: SimulatedBoard) -> None:
    board.pour(100.0, 0, 1, 1000.0)
    events = listener.decoder.feed(board.noise(50)) + listener.until(101.0)
    assert [type(event) for event in events] == [FramingBroken, FramingFixed, MeterStatusMessage]
