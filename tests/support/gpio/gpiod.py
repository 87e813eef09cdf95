"""Stands in for libgpiod's binding, for a program that finds it first: its lines are pipes below $STAND_IN_GPIO.

``gpiochip0/17`` is one. Who writes `EDGE` values to it is the meter; who holds ``gpiochip0/17.held`` has it in use. An
LED that is lit has ``gpiochip0/17.lit``.
"""

import errno
import os
import select
import struct
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

EDGE = struct.Struct("=QI")
"""The time in nanoseconds by CLOCK_MONOTONIC, and the number."""


class _Word(Enum):
    INPUT = "input"
    OUTPUT = "output"
    ACTIVE = "active"
    INACTIVE = "inactive"
    RISING = "rising"
    PULL_UP = "pull up"
    PULL_DOWN = "pull down"
    DISABLED = "disabled"


line = SimpleNamespace(Direction=_Word, Edge=_Word, Bias=_Word, Value=_Word)


class LineSettings(NamedTuple):
    direction: _Word
    edge_detection: _Word | None = None
    bias: _Word | None = None


class EdgeEvent(NamedTuple):
    timestamp_ns: int
    line_seqno: int


def _place(path: str) -> Path:
    return Path(os.environ["STAND_IN_GPIO"]) / Path(path).name


class Chip:
    def __init__(self, path: str) -> None:
        self._path = _place(path)
        if not self._path.is_dir():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    def __enter__(self) -> "Chip":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def line_offset_from_id(self, id: int | str) -> int:  # noqa: A002  # the name is libgpiod's
        offset = int(str(id).removeprefix("GPIO"))
        if not (self._path / str(offset)).exists():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return offset

    def get_info(self) -> SimpleNamespace:
        return SimpleNamespace(num_lines=54)

    def get_line_info(self, offset: int) -> SimpleNamespace:
        return SimpleNamespace(consumer=(self._path / f"{offset}.held").read_text())


class LineRequest:
    def __init__(self, path: Path) -> None:
        if path.with_name(f"{path.name}.held").exists():
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self._path = path
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def wait_edge_events(self, timeout: float) -> bool:
        self.get_value(0)
        return bool(select.select([self.fd], [], [], timeout)[0])

    def read_edge_events(self, max_events: int) -> list[EdgeEvent]:
        return [EdgeEvent(*edge) for edge in EDGE.iter_unpack(os.read(self.fd, max_events * EDGE.size))]

    def get_value(self, _offset: int) -> None:
        if not self._path.exists():
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    def set_value(self, _offset: int, value: _Word) -> None:
        self.get_value(0)
        lit = self._path.with_name(f"{self._path.name}.lit")
        if value is _Word.ACTIVE:
            lit.touch()
        else:
            lit.unlink(missing_ok=True)

    def release(self) -> None:
        os.close(self.fd)


def request_lines(
    path: str, config: Mapping[int, LineSettings], *, consumer: str, event_buffer_size: int = 0
) -> LineRequest:
    ((offset, settings),) = config.items()
    assert consumer == "kegnet-client"
    if settings.direction is not _Word.OUTPUT:
        assert (settings.direction, settings.edge_detection) == (_Word.INPUT, _Word.RISING)
        assert event_buffer_size == 1024
    if settings.bias is _Word.PULL_DOWN:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return LineRequest(_place(path) / str(offset))
