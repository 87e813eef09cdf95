"""The status LED: shows how the process stands that delivers, by what that says of itself.

It is a process of its own, since the one that has the key touches no hardware, and since an LED that its own process
switches goes on shining when that is killed.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kegnet_client.core.errors import LineError
from kegnet_client.core.led import Pattern, choose_pattern, is_lit
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.producers.base import Stop

RETRY_S = 30.0
LOOK_MS = 1000

log = logging.getLogger(__name__)


class Lamp(Protocol):
    """What can be lit. Both may raise `OSError`: then it is gone."""

    def light(self, is_lit: bool) -> None:
        """Switch it."""

    def close(self) -> None:
        """Leave it to others."""


class StatusLed:
    """The LED called ``label``, which ``open_lamp`` opens or raises `LineError`; ``changed`` is as everywhere.

    ``read_state`` gives what the delivering process says of itself, None when there is none.
    """

    def __init__(
        self,
        label: str,
        open_lamp: Callable[[], Lamp],
        read_state: Callable[[], Mapping[str, Any] | None],
        changed: Callable[[], object],
        clock: Clock,
    ) -> None:
        self._label = label
        self._open_lamp = open_lamp
        self._read_state = read_state
        self._changed = changed
        self._clock = clock
        self._pattern = Pattern.OFF
        self._told: object = None
        self._absent = Condition(log)

    @property
    def problem(self) -> str | None:
        """Why it cannot be switched and what to do; None when it can."""
        return self._absent.text

    def status(self) -> Mapping[str, object]:
        """What it shows."""
        return {"shows": self._pattern.value}

    def run(self, stop: Stop) -> None:
        """Show it until ``stop`` is set, and be dark then."""
        while not stop.is_set():
            try:
                with contextlib.closing(self._open_lamp()) as lamp:
                    self._absent.end(f"the LED {self._label} is there again")
                    self._show(lamp, stop)
            except (LineError, OSError) as error:
                why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
                self._absent.begin(why, f"the LED {self._label} shows nothing: {why}; it is tried again")
                self._tell()
                stop.wait(RETRY_S)

    def _show(self, lamp: Lamp, stop: Stop) -> None:
        look_at_ms = 0
        while not stop.is_set():
            now_ms = round(self._clock.monotonic_s() * 1000)
            if now_ms >= look_at_ms:
                look_at_ms = now_ms + LOOK_MS
                self._choose()
            lit, holds_ms = is_lit(self._pattern, now_ms)
            lamp.light(lit)  # also where nothing changed: somebody else may have switched it
            stop.wait(holds_ms / 1000)
        lamp.light(False)

    def _choose(self) -> None:
        before, self._pattern = self._pattern, choose_pattern(self._read_state())
        if self._pattern is not before:
            log.info("the LED %s is %s", self._label, self._pattern.value)
        self._tell()

    def _tell(self) -> None:
        told, self._told = self._told, (self._pattern, self.problem)
        if told != self._told:
            self._changed()
