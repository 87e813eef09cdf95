"""The relays beside the meters: on when a program asks for a flow, off when that ends.

Who may drink is for others to say.
"""

import math
from collections.abc import Callable

from kegnet_client.core.wire.local_events import SetRelayOutputEvent, relay_of
from kegnet_client.host.clock import Clock

RELAY_S = 1.0
"""So often a relay is told to stay on: a board switches it off ten seconds after it was told last."""


class Relays:
    """For one thread; ``say`` gets each event. One at whose meter nothing flows for ``idle_s`` is switched off."""

    def __init__(self, idle_s: float, say: Callable[[SetRelayOutputEvent], object], clock: Clock) -> None:
        self._idle_s = idle_s
        self._say = say
        self._clock = clock
        self._until_s: dict[str, float] = {}
        """Until when the relay of each meter is to be on, unless something flows there."""
        self._due_s = 0.0

    @property
    def due_s(self) -> float:
        """When `look` has something to do, by the clock that nobody sets."""
        return self._due_s if self._until_s else math.inf

    def enable(self, meter_name: str) -> None:
        """Switch the relay of this meter on."""
        self._until_s[meter_name] = self._clock.monotonic_s() + self._idle_s
        self._due_s = 0.0

    def disable(self, meter_name: str) -> None:
        """Switch it off at the next look, if it is on and nothing flows."""
        if meter_name in self._until_s:
            self._until_s[meter_name] = self._due_s = 0.0

    def look(self, flows: Callable[[str], bool]) -> None:
        """Switch off what is over, and tell the others to stay on; ``flows`` says whether something does."""
        now_s = self._clock.monotonic_s()
        for meter_name, until_s in tuple(self._until_s.items()):
            if until_s <= now_s and not flows(meter_name):
                del self._until_s[meter_name]
                self._say(SetRelayOutputEvent(relay_of(meter_name), "disabled"))
        if self._until_s and now_s >= self._due_s:
            self._due_s = now_s + RELAY_S
            for meter_name in self._until_s:
                self._say(SetRelayOutputEvent(relay_of(meter_name), "enabled"))
