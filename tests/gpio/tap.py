"""The simulated GPIO chip of the kernel that these tests run in, and the meters that turn on its lines."""

import os
import time
from pathlib import Path

CHIP = Path("/sys/kernel/config/gpio-sim/taps")


class Tap:
    """A meter on ``line``, as long as the chip is plugged in. It pulls the line down, and whoever watches it up again:
    each pulse is a rising edge that the kernel stamps."""

    def __init__(self, line: int) -> None:
        device, bank = ((CHIP / name).read_text().strip() for name in ("dev_name", "bank0/chip_name"))
        self._fd = os.open(f"/sys/devices/platform/{device}/{bank}/sim_gpio{line}/pull", os.O_WRONLY)

    def turn(self, pulses: int, hertz: float) -> float:
        """So many pulses, as fast; the rate that came of it, per second."""
        begin_s = time.monotonic()
        for number in range(pulses):
            time.sleep(max(0.0, begin_s + number / hertz - time.monotonic()))
            os.pwrite(self._fd, b"pull-down", 0)
            os.pwrite(self._fd, b"pull-up", 0)
        return pulses / (time.monotonic() - begin_s)

    def burst(self, pulses: int, hertz: int) -> float:
        """The same at once, by the kernel itself: faster than a program here can turn it."""
        begin_s = time.monotonic()
        os.pwrite(self._fd, f"burst {pulses} {hertz}".encode(), 0)
        return pulses / (time.monotonic() - begin_s)

    def close(self) -> None:
        os.close(self._fd)


def plug_in() -> None:
    """The chip is there, and its lines with it."""
    if (CHIP / "live").read_text().strip() == "0":
        (CHIP / "live").write_text("1")


def unplug() -> None:
    """It is not."""
    (CHIP / "live").write_text("0")
