"""Meters on a real GPIO chip: ``make gpio`` boots a Linux that has a simulated one, and runs these tests there."""

import ctypes
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.device import Device
from .tap import CHIP, Tap, plug_in

WAIT_S = 200.0
"""A meter looks at its line once a minute, and the machine below may be busy."""

SECTIONS = """
[FlowMeter tap1]
line = GPIO17
pin = 0
idle = 1
maxHz = 20000

[FlowMeter tap2]
line = GPIO22
pin = 3
idle = 1
"""


TIMEX = struct.Struct("=I4xqqqqi164x")
"""What adjtimex(2) takes: modes, offset, frequency, largest and estimated error, status, and what is not set here."""
SET_ERRORS_AND_STATUS = 0x4 | 0x8 | 0x10


@pytest.fixture(scope="session", autouse=True)
def _synchronised() -> None:
    """Tell the kernel that its clock, which is this machine's, is right: else records wait after a boot."""
    if not CHIP.exists():
        pytest.skip("this kernel has no simulated GPIO chip: make gpio boots one that has")
    told = ctypes.create_string_buffer(TIMEX.pack(SET_ERRORS_AND_STATUS, 0, 0, 0, 0, 0))
    assert ctypes.CDLL(None).adjtimex(told) >= 0


@pytest.fixture(autouse=True)
def _chip() -> Iterator[None]:
    yield
    plug_in()


@pytest.fixture
def tap() -> Iterator[Tap]:
    """The meter on the line GPIO17."""
    tap = Tap(17)
    yield tap
    tap.close()


@pytest.fixture
def other_tap() -> Iterator[Tap]:
    """The meter on the line 22."""
    tap = Tap(22)
    yield tap
    tap.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """A device with both meters, which delivers nothing yet."""
    device = Device(tmp_path / "device", "https://hub.invalid/rest/v3", b"", b"")
    add_meters(device)
    yield device
    device.close()


def add_meters(device: Device) -> None:
    file = device.root / "conf" / "client.conf"
    file.write_text(file.read_text() + SECTIONS)


def records(spool: Path) -> list[tuple[int, int, int]]:
    """Pin, pulses and milliseconds of each pour that waits there."""
    lines = (path.read_text().split(",") for path in spool.glob("*.pour"))
    return sorted((int(line[0]), int(line[1]), int(line[2])) for line in lines)
