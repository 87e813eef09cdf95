"""What stands around a thermometer here: a clock that a test sets, and an outbox in place of the spool."""

import queue
from collections.abc import Callable
from pathlib import Path
from threading import Event

from kegnet_client.core.errors import SpoolError
from kegnet_client.core.records import Reading
from kegnet_client.producers.base import Producer, ProducerThread
from kegnet_client.producers.thermometer import Thermometer

NEVER = Event()
"""Stops nothing."""

KEG = "28-0316a2795c5b"
TAP = "28-0516a27f3cff"

Plug = Callable[[str, int | str | bytes], Path]

Make = Callable[..., Thermometer]

Start = Callable[[Producer], ProducerThread]


class Outbox:
    """Stands in for the spool."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[Reading] = queue.SimpleQueue()
        self.full = False

    def enqueue(self, reading: Reading) -> None:
        if self.full:
            raise SpoolError("less than 5 % of the disk is free: make room")
        self.queue.put(reading)

    def next(self) -> Reading:
        return self.queue.get(timeout=10)

    def all(self) -> list[Reading]:
        return [self.queue.get() for _ in range(self.queue.qsize())]
