"""A 1-Wire bus of real files, in the shape that sysfs gives it, thermometers that look at it, and a board's stand."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.producers.base import Producer, ProducerThread
from kegnet_client.producers.one_wire import BusReader
from kegnet_client.producers.thermometer import Thermometer

from ..support.clock import FakeClock
from .board_stand import Stand
from .stand_ins import Make, Outbox, Plug, Start


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


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def make(bus: Path, clock: FakeClock, outbox: Outbox) -> Make:
    def thermometer(**settings: Any) -> Thermometer:
        of_bus = {name: settings.pop(name) for name in ("read", "timeout_s") if name in settings}
        defaults: dict[str, Any] = {
            "bus": BusReader(settings.pop("directory", bus), **of_bus),
            "interval_s": 600.0,
            "sensor": None,
            "all_sensors": False,
            "enqueue": outbox.enqueue,
            "changed": lambda: None,
            "clock": clock,
        }
        return Thermometer(**defaults | settings)

    return thermometer


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs a producer in a thread, which is stopped at the end of the test."""
    threads: list[ProducerThread] = []

    def run(producer: Producer) -> ProducerThread:
        threads.append(ProducerThread("producer", producer, lambda work: work()))
        threads[-1].start()
        return threads[-1]

    yield run
    for thread in threads:
        thread.stop()
        thread.join(10)


@pytest.fixture
def hang(plug: Plug) -> Iterator[Callable[[str], Callable[[], None]]]:
    """Makes a sensor's read block as a stuck bus does; what it returns ends that."""
    hung: list[Path] = []

    def make_fifo(sensor: str) -> Callable[[], None]:
        path = plug(sensor, "")
        path.unlink()
        os.mkfifo(path)
        hung.append(path)
        return lambda: release(path)

    def release(path: Path) -> None:
        for reader in [thread for thread in threading.enumerate() if thread.name == "thermometer-read"]:
            for _ in range(200):  # the reader may be just about to open it
                if path.exists():
                    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
                reader.join(0.05)
                if not reader.is_alive():
                    break

    yield make_fifo
    for path in hung:
        release(path)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged since the last look."""
    caplog.set_level(logging.DEBUG)

    def take() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

    return take


@pytest.fixture
def stand(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setattr("kegnet_client.producers.kegboard.FIRST_RETRY_S", 0.01)
    (tmp_path / "spool").mkdir()
    return Stand(tmp_path / "spool", clock)
