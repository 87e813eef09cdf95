"""The tap of the demo, a process of its own: the producer of flow meters, and a meter that turns in the place of a pin.

Pulse by pulse it is what a GPIO line tells: a pipe carries the edges, and all behind it is the program itself.
"""

import os
import random
import struct
import sys
import time
from pathlib import Path

from kegnet_client.core.flow import FlowRules
from kegnet_client.host.clock import Clock
from kegnet_client.producers.base import ProducerThread
from kegnet_client.producers.flow_meter import FlowMeter, FlowMeters
from kegnet_client.producers.flow_meter_section import FlowMeterSettings
from kegnet_client.producers.gpio_line import Bias
from kegnet_client.producers.pour_journal import PourJournal

PULSES_PER_LITRE = 5400
LITRES_PER_S = 0.06
PIN = 0
IDLE_MS = 2_000

_EDGE = struct.Struct("=QI")


class TurningMeter:
    """The line of a meter that `turn` turns."""

    def __init__(self) -> None:
        self._number = 0
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """As a GPIO line's."""
        return self._reading

    def read(self) -> list[tuple[int, int]]:
        """The edges that wait."""
        return [(at_ns, number) for at_ns, number in _EDGE.iter_unpack(os.read(self._reading, 1024 * _EDGE.size))]

    def look(self) -> None:
        """It is always there."""

    def close(self) -> None:
        """Nothing turns any more."""
        os.close(self._reading)
        os.close(self._writing)

    def turn(self, litres: float) -> int:
        """Let so much flow, in the time that it takes; the pulses."""
        pulses = round(litres * PULSES_PER_LITRE)
        begin_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        for place in range(pulses):
            due_ns = begin_ns + round(place * 1e9 / (LITRES_PER_S * PULSES_PER_LITRE))
            time.sleep(max(0, due_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) / 1e9)
            self._number += 1
            os.write(self._writing, _EDGE.pack(time.clock_gettime_ns(time.CLOCK_BOOTTIME), self._number))
        return pulses


def main(spool: Path, litres: float | None) -> None:
    """Pour until the end, or ``litres`` once."""
    clock, line = Clock(), TurningMeter()
    rules = FlowRules(idle_ms=IDLE_MS)
    settings = FlowMeterSettings("0", PIN, None, Bias.NONE, rules.idle_ms, rules.minimum, rules.max_hz)
    journal = PourJournal(spool, "flow-meter", "demo", PIN, rules, clock)
    journal.start()
    meters = FlowMeters([FlowMeter("demo", settings, journal, lambda _: line, clock)], lambda: None, clock)
    ProducerThread("flow-meter", meters, lambda work: work()).start()
    while True:
        glass = litres or random.choice((0.2, 0.3, 0.4, 0.5))  # noqa: S311 - how thirsty a guest is, is no secret
        print(f"{glass} l go through ...", flush=True)
        print(f"{line.turn(glass)} pulses; the record is in the spool in a moment", flush=True)
        time.sleep(3600 if litres else random.uniform(3, 5))  # noqa: S311 - nor is when the next one comes


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else None)
