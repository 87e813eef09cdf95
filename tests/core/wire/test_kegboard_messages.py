"""A Kegboard's messages are shown as the original showed them, and its names become ours."""

import pytest

from kegnet_client.core.errors import RecordError
from kegnet_client.core.wire.kegboard_messages import (
    AuthTokenMessage,
    HelloMessage,
    Message,
    MeterStatusMessage,
    OutputStatusMessage,
    PingCommand,
    TemperatureReadingMessage,
    crc8,
    kernel_sensor,
    meter_number,
    sensor_name,
    to_millidegrees,
)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (HelloMessage(8), "<HelloMessage: firmware_version=8>"),
        (MeterStatusMessage("flow0", 2200), "<MeterStatusMessage: meter_name=flow0 meter_reading=2200>"),
        (
            TemperatureReadingMessage("thermo-7c0000009b596628", 22_875_000),
            "<TemperatureReadingMessage: sensor_name=thermo-7c0000009b596628 sensor_reading=22.875>",
        ),
        (OutputStatusMessage("relay0", False), "<OutputStatusMessage: output_name=relay0 output_reading=off>"),
        (
            AuthTokenMessage("onewire", bytes.fromhex("01a2"), 1),
            "<AuthTokenMessage: device=onewire token=01a2 status=1>",
        ),
        (PingCommand(), "<PingCommand>"),
        (MeterStatusMessage("fl\n\x1b", 1), "<MeterStatusMessage: meter_name=fl\\n\\x1b meter_reading=1>"),
    ],
)
def test_it_is_shown_as_the_original_did_and_on_one_line(message: Message, shown: str) -> None:
    assert str(message) == shown


def test_a_program_gets_its_values_by_name() -> None:
    assert HelloMessage(18, serial_number="KB").values() == {"firmware_version": 18, "serial_number": "KB"}
    assert AuthTokenMessage("core.rfid", b"\x7a\xf0", 1).values() == {
        "device": "core.rfid",
        "token": "7af0",
        "status": 1,
    }


def test_a_token_is_written_from_its_last_byte_to_its_first() -> None:
    assert AuthTokenMessage("core.rfid", bytes.fromhex("7af084010f"), 1).token_value == "0f0184f07a"


@pytest.mark.parametrize(("name", "number"), [("flow0", 0), ("flow5", 5), ("flow255", 255)])
def test_a_meter_has_its_number(name: str, number: int) -> None:
    assert meter_number(name) == number


@pytest.mark.parametrize("name", ["", "flow", "flow00", "flow256", "flow-1", "flow0 ", "Flow0", "relay0", "flow\u0660"])
def test_what_is_no_meter_is_refused(name: str) -> None:
    with pytest.raises(RecordError, match="is not a meter's name"):
        meter_number(name)


def test_a_sensor_is_spelled_as_the_kernel_does() -> None:
    assert crc8(bytes.fromhex("2866599b000000")) == 0x7C
    assert kernel_sensor("thermo-7c0000009b596628") == "28-0000009b5966"
    assert sensor_name("28-0000009b5966") == "thermo-7c0000009b596628"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("thermo-7d0000009b596628", "check sum"),
        ("thermo-7c0000009b596629", "check sum"),
        ("thermo-7c0000009b5966", "is not a sensor's name"),
        ("thermo-7C0000009B596628", "is not a sensor's name"),
        ("", "is not a sensor's name"),
    ],
)
def test_what_is_no_sensor_is_refused(name: str, why: str) -> None:
    with pytest.raises(RecordError, match=why):
        kernel_sensor(name)


@pytest.mark.parametrize(
    ("microdegrees", "millidegrees"),
    [(22_875_000, 22_875), (-1_500_000, -1500), (0, 0), (3_937_500, 3937), (-62_500, -62), (125_000_000, 125_000)],
)
def test_a_temperature_is_truncated_as_the_kernel_does(microdegrees: int, millidegrees: int) -> None:
    assert to_millidegrees(microdegrees) == millidegrees


@pytest.mark.parametrize("microdegrees", [85_000_000, 125_062_500, -55_062_500, -1000, 2**31 - 1, -(2**31)])
def test_what_is_no_temperature_is_refused(microdegrees: int) -> None:
    with pytest.raises(RecordError, match="it says"):
        to_millidegrees(microdegrees)
