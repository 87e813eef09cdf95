"""A producer writes records into the spool, from what it measures or hears.

It never opens the device's key and asks nothing of the delivery: the spool's directory is all that they share.
"""

import os
import weakref
from collections.abc import Callable, Mapping
from threading import Event, Lock, Thread
from typing import Protocol


class Stop(Event):
    """Says that a producer should end, also to one that waits for something else."""

    def __init__(self) -> None:
        super().__init__()
        self._wakes: list[Callable[[], object]] = []
        self._making = Lock()
        self._fd = -1

    def on_set(self, wake: Callable[[], object]) -> None:
        """Have ``wake`` called, from any thread, once this is set; at once if it is."""
        self._wakes.append(wake)
        if self.is_set():
            wake()

    def fileno(self) -> int:
        """A descriptor that can be read from as soon as this is set, for `select` beside others."""
        with self._making:
            if self._fd < 0:
                self._fd = fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                weakref.finalize(self, os.close, fd)
                self.on_set(lambda: os.eventfd_write(fd, 1))
            return self._fd

    def set(self) -> None:
        super().set()
        for wake in tuple(self._wakes):
            wake()


class Producer(Protocol):
    """What runs a producer asks of it. Everything but `run` may be called from any thread."""

    @property
    def problem(self) -> str | None:
        """What keeps it from producing and what to do, for the status; None when nothing does."""

    def run(self, stop: Stop) -> None:
        """Produce until ``stop`` is set, and end soon after that even while the hardware hangs."""

    def status(self) -> Mapping[str, object]:
        """What ``kegnet-client status --json`` shows of it, by name; "counters" are added to the others."""


class ProducerThread(Thread):
    """A producer in a daemon thread called ``name``. ``guard`` runs its work and sees to faults of our own."""

    def __init__(self, name: str, producer: Producer, guard: Callable[[Callable[[], object]], object]) -> None:
        super().__init__(name=name, daemon=True)
        self._producer = producer
        self._guard = guard
        self._stopping = Stop()

    def run(self) -> None:
        """Produce until `stop`."""
        self._guard(lambda: self._producer.run(self._stopping))

    def stop(self) -> None:
        """Have it end soon; from any thread."""
        self._stopping.set()
