"""A 1-Wire bus made of real files, in the shape that sysfs gives it."""

from collections.abc import Callable
from pathlib import Path

import pytest


def _crc(scratchpad: bytes) -> int:
    """The Dallas CRC-8 that a sensor sends behind its eight bytes."""
    crc = 0
    for byte in scratchpad:
        for bit in range(8):
            odd = (crc ^ byte >> bit) & 1
            crc = crc >> 1 ^ (0x8C if odd else 0)
    return crc


@pytest.fixture
def w1_slave() -> Callable[[int], str]:
    """The text of a DS18B20's ``w1_slave`` at so many thousandths of a degree."""

    def text(millidegrees: int) -> str:
        count = round(millidegrees * 16 / 1000)
        assert int(count * 1000 / 16) == millidegrees, "no DS18B20 reads this"
        scratchpad = count.to_bytes(2, "little", signed=True) + bytes.fromhex("4b467fff0c10")
        crc = _crc(scratchpad)
        data = f"{scratchpad.hex(' ')} {crc:02x}"
        return f"{data} : crc={crc:02x} YES\n{data} t={millidegrees}\n"

    return text


@pytest.fixture
def bus(tmp_path: Path) -> Path:
    """A bus with its master on it and nothing else."""
    directory = tmp_path / "devices"
    master = directory / "w1_bus_master1"
    master.mkdir(parents=True)
    (master / "w1_master_slaves").write_text("not found.\n")
    return directory


@pytest.fixture
def plug(bus: Path, w1_slave: Callable[[int], str]) -> Callable[[str, int | str | bytes], Path]:
    """Puts a sensor on the bus, at thousandths of a degree or with a literal ``w1_slave``; that file's path."""

    def put(sensor: str, content: int | str | bytes) -> Path:
        directory = bus / sensor
        directory.mkdir(exist_ok=True)
        (directory / "name").write_text(f"{sensor}\n")
        path = directory / "w1_slave"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(w1_slave(content) if isinstance(content, int) else content)
        return path

    return put
