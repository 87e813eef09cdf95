"""A GPIO chip for programs that are started with `variables`, and the meters that turn on its lines."""

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from .waits import wait_until

EDGE = struct.Struct("=QI")


class GpioChip:
    """The chip gpiochip0 below ``directory``, with the ``lines``; see ``gpio/gpiod.py``."""

    def __init__(self, directory: Path, *lines: int) -> None:
        self._chip = directory / "gpiochip0"
        self._chip.mkdir(parents=True)
        self._numbers = dict.fromkeys(lines, 0)
        for line in lines:
            os.mkfifo(self._chip / str(line))
        self.variables: Mapping[str, str] = {
            "STAND_IN_GPIO": str(directory),
            "PYTHONPATH": str(Path(__file__).with_name("gpio")),
        }

    def turn(self, line: int, pulses: int, hertz: float) -> None:
        """So many pulses, the last of them now, once somebody has the line open."""
        wait_until(lambda: self._is_open(line), f"nobody opens the line {line}")
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        edges = []
        for left in range(pulses - 1, -1, -1):
            self._numbers[line] += 1
            edges.append(EDGE.pack(now_ns - round(left * 1e9 / hertz), self._numbers[line]))
        fd = os.open(self._chip / str(line), os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(fd, b"".join(edges))
        finally:
            os.close(fd)

    def is_lit(self, line: int) -> bool:
        """Whether the LED on ``line`` is switched on."""
        return (self._chip / f"{line}.lit").exists()

    def _is_open(self, line: int) -> bool:
        try:
            os.close(os.open(self._chip / str(line), os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def hold(self, line: int, holder: str | None) -> None:
        """Another program has the line, or None does any more."""
        held = self._chip / f"{line}.held"
        if holder is None:
            held.unlink()
        else:
            held.write_text(holder)
