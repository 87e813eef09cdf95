"""Tells of what flows, in Kegbot's words: an update whenever more has flowed, and at its end what it became."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from kegnet_client.core.flow import Flow
from kegnet_client.core.wire.local_events import DrinkCreatedEvent, FlowUpdate
from kegnet_client.host.clock import Clock
from kegnet_client.producers.total_meters import TotalMeters


class FlowTeller:
    """For one thread; ``say`` gets each event."""

    def __init__(self, say: Callable[[FlowUpdate | DrinkCreatedEvent], object], clock: Clock) -> None:
        self._say = say
        self._clock = clock
        self._told: dict[int, FlowUpdate] = {}
        self._next_id = clock.wall_ms() // 1000

    def look(self, meters: TotalMeters, names: Mapping[int, str]) -> list[str]:
        """Tell what is new at ``meters``, which are called ``names`` by their pins; those at which it ended."""
        for pin in names:
            flow, told = meters.flow(pin), self._told.get(pin)
            if flow is not None and (told is None or flow.pulses != told.ticks):
                self._tell(pin, names[pin], flow)
        ended = [self._told.pop(pin) for pin in tuple(self._told) if meters.flow(pin) is None]
        for last in ended:
            self._say(replace(last, state="completed"))
        return [last.meter_name for last in ended]

    def tell(self, pin: int, name: str, meters: TotalMeters) -> None:
        """Tell what flows at the meter ``pin``, if something does, although nothing may be new."""
        if (flow := meters.flow(pin)) is not None:
            self._tell(pin, name, flow)

    def create_drink(self, pin: int, flow: Flow) -> None:
        """What was told of the meter ``pin`` has become a record."""
        if pin in self._told:
            last = self._tell(pin, self._told[pin].meter_name, flow, is_said=False)
            times = last.start_ms, last.last_activity_ms
            self._say(DrinkCreatedEvent(last.flow_id, last.flow_id, last.meter_name, *times))

    def _tell(self, pin: int, name: str, flow: Flow, *, is_said: bool = True) -> FlowUpdate:
        before = self._told.get(pin)
        if before is None:
            self._next_id += 1
        flow_id = self._next_id if before is None else before.flow_id
        times = self._wall_ms(flow.first_ms), self._wall_ms(flow.last_ms)
        self._told[pin] = FlowUpdate(flow_id, name, "active", *times, flow.pulses)
        if is_said:
            self._say(self._told[pin])
        return self._told[pin]

    def _wall_ms(self, flow_ms: int) -> int:
        return self._clock.wall_ms() - (round(self._clock.monotonic_s() * 1000) - flow_ms)
