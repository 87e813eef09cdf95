"""A pipe in the place of a GPIO line, and a meter that turns behind it."""

import errno
import os
import struct
import time
from collections.abc import Iterable

EDGE = struct.Struct("=QI")


class PipeLine:
    """The line that a flow meter is given. ``is_there`` is False once its chip is unplugged."""

    def __init__(self) -> None:
        self.is_there = True
        self.is_open = True
        self.number = 0
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK)

    def fileno(self) -> int:
        return self._reading

    def read(self) -> list[tuple[int, int]]:
        self.look()
        return [(at_ns, number) for at_ns, number in EDGE.iter_unpack(os.read(self._reading, 1024 * EDGE.size))]

    def look(self) -> None:
        if not self.is_there:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    def close(self) -> None:
        assert self.is_open
        self.is_open = False
        os.close(self._reading)
        os.close(self._writing)

    def turn(self, pulses: int, hertz: float, *, lost: Iterable[int] = ()) -> None:
        """So many pulses, the last of them now; those whose places are in ``lost`` did not fit into the buffer."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        left_out = set(lost)
        for place in range(pulses):
            self.number += 1
            if place not in left_out:
                at_ns = now_ns - round((pulses - 1 - place) * 1e9 / hertz)
                os.write(self._writing, EDGE.pack(at_ns, self.number))
