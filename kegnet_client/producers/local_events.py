"""Local events: listens to Kegbot's own sensor programs in the place of its core, and makes pours of what they tell.

They connect to localhost:9805, as they did to Kegbot 1.0, or speak on a Redis channel, as from 1.1 on. A meter's
totals become pours, a sensor's temperatures readings. All are told what flows, and what became a record.

A relay is switched on only when a program asks for a flow, and off when that ends: who may drink is for others to say.
"""

import logging
import math
import selectors
from collections.abc import Callable, Mapping

from kegnet_client.core.errors import RecordError
from kegnet_client.core.flow import Flow
from kegnet_client.core.records import MAX_PIN, is_sensor
from kegnet_client.core.wire.kegboard_messages import kernel_sensor, to_millidegrees
from kegnet_client.core.wire.local_events import (
    ALL_METERS,
    DrinkCreatedEvent,
    FlowRequest,
    FlowUpdate,
    MeterUpdate,
    Said,
    SetRelayOutputEvent,
    ThermoEvent,
    TokenAuthEvent,
    format_redis,
    format_tcp,
    parse_event,
    relay_of,
    split_meter,
)
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.producers.base import Stop
from kegnet_client.producers.board_sensors import BoardSensors
from kegnet_client.producers.local_clients import Client, LocalClients
from kegnet_client.producers.redis_channel import RedisChannel
from kegnet_client.producers.total_meters import TotalMeters

RELAY_S = 1.0
"""So often a relay is told to stay on: a board switches it off ten seconds after it was told last."""
NOT_CAPTIVE = "core.rfid"
"""Of these devices alone the token does not stay where it is while something flows."""

log = logging.getLogger(__name__)


class LocalEvents:
    """The producer. ``boards`` has the first pin of each board by its name; one that is not there begins at 0.

    ``make_meters`` gets what is to be called when a pour ends. ``changed`` is as everywhere.
    """

    def __init__(
        self,
        *,
        port: int,
        redis: RedisChannel | None,
        boards: Mapping[str, int],
        idle_s: float,
        make_meters: Callable[[Callable[[int, Flow], object]], TotalMeters],
        sensors: BoardSensors,
        changed: Callable[[], object],
        clock: Clock,
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._clients = LocalClients(port, self._selector)
        self.port = self._clients.port
        self._redis = redis
        self._boards = boards
        self._idle_s = idle_s
        self._meters = make_meters(self._create_drink)
        self._sensors = sensors
        self._changed = changed
        self._clock = clock
        self._bad = Condition(log)
        self._names: dict[int, str] = {}
        self._flows: dict[int, FlowUpdate] = {}
        self._relays: dict[int, float] = {}
        """Until when each is to be on, unless something flows."""
        self._relays_due_s = 0.0
        self._next_id = clock.wall_ms() // 1000

    @property
    def problem(self) -> str | None:
        """What keeps it from producing and what to do; None when nothing does."""
        redis = None if self._redis is None else self._redis.problem
        return "; ".join(filter(None, (redis, self._bad.text, self._meters.problem, self._sensors.problem))) or None

    def status(self) -> Mapping[str, object]:
        """Who is connected, and what the meters and sensors say."""
        return {
            "device": f"port {self.port}",
            "clients": self._clients.count,
            "meters": self._meters.status(),
            "temperatures": self._sensors.latest(),
            "readings_not_taken": self._sensors.not_taken,
        }

    def take_up(self) -> None:
        """Take up what a producer before left behind. Raises `SpoolError`."""
        self._meters.start()

    def run(self, stop: Stop) -> None:
        """Listen until ``stop`` is set."""
        self._selector.register(stop, selectors.EVENT_READ)
        if self._redis is not None:
            self._selector.register(self._redis, selectors.EVENT_READ)
        try:
            while not stop.is_set():
                due_s = min(self._meters.due_s, self._relays_due_s if self._relays else math.inf)
                wait_s = None if due_s == math.inf else max(0.0, due_s - self._clock.monotonic_s())
                self._handle(wait_s)
                self._look()
        finally:
            self._meters.close()
            self._sensors.close()
            self._clients.close()
            if self._redis is not None:
                self._redis.close()
            self._selector.close()

    def _handle(self, wait_s: float | None) -> None:
        before = self._clients.count
        for key, mask in self._selector.select(wait_s):
            if key.fileobj is self._redis and self._redis is not None:
                for message in self._redis.take():
                    self._take(message, "the Redis channel", self._bad)
            elif isinstance(key.data, Client):
                for message in self._clients.handle(key.data, mask):
                    self._take(message, key.data.name, key.data.bad)
            elif key.data is self._clients:
                self._clients.accept()
        if before != self._clients.count:
            self._changed()

    def _take(self, message: bytes | None, sender: str, bad: Condition) -> None:
        try:
            if message is None:
                raise RecordError("it is too long")
            self._obey(message)
        except RecordError as error:
            bad.begin(str(error), f"a bad message of {sender} is left out: {error}", key=str(error))
        else:
            bad.end()

    def _obey(self, message: bytes) -> None:
        match parse_event(message):
            case MeterUpdate(meter_name, reading):
                self._meters.take(self._pin(meter_name), reading)
            case ThermoEvent(sensor_name, degrees):
                self._take_temperature(sensor_name, degrees)
            case FlowRequest(meter_name, request):
                self._obey_request(self._pin(meter_name), request)
            case TokenAuthEvent(meter_name, device, token, status):
                log.info("Token %s: %a:%a at %a", status, device, token, meter_name)
                if status == "removed" and device != NOT_CAPTIVE:
                    pins = list(self._names) if meter_name == ALL_METERS else [self._pin(meter_name)]
                    for pin in pins:
                        self._meters.stop(pin)

    def _obey_request(self, pin: int, request: str) -> None:
        match request:
            case "start_flow":
                self._relays[pin] = self._clock.monotonic_s() + self._idle_s
                self._relays_due_s = 0.0
            case "stop_flow":
                self._meters.stop(pin)
                self._relays[pin] = 0.0
            case _:
                self._tell_flow(pin)

    def _pin(self, meter_name: str) -> int:
        """The pin of the meter ``meter_name``. `RecordError` if it has none of its own."""
        board, number = split_meter(meter_name)
        pin = self._boards.get(board, 0) + number
        if pin > MAX_PIN:
            raise RecordError(f"there is no pin for {meter_name}")
        if (other := self._names.setdefault(pin, meter_name)) != meter_name:
            raise RecordError(f"{meter_name} and {other} are both pin {pin}: name both boards in [LocalEvents] boards")
        return pin

    def _take_temperature(self, sensor_name: str, degrees: float) -> None:
        name = sensor_name.rpartition(".")[2]
        try:
            sensor = name if is_sensor(name) else kernel_sensor(name)
            is_news = self._sensors.take(sensor, to_millidegrees(round(degrees * 1_000_000)))
        except RecordError as error:
            self._sensors.fail(f"{name!a}", str(error))
            is_news = True
        if is_news:
            self._changed()

    def _look(self) -> None:
        self._meters.look()
        for pin in self._names:
            flow, told = self._meters.flow(pin), self._flows.get(pin)
            if flow is not None and (told is None or flow.pulses != told.ticks):
                self._tell_flow(pin)
        now_s = self._clock.monotonic_s()
        for pin in [pin for pin in self._flows if self._meters.flow(pin) is None]:
            last = self._flows.pop(pin)
            self._say(
                FlowUpdate(last.flow_id, last.meter_name, "completed", last.start_ms, last.last_activity_ms, last.ticks)
            )
            if pin in self._relays:
                self._relays[pin] = 0.0
        for pin, until_s in tuple(self._relays.items()):
            if until_s <= now_s and self._meters.flow(pin) is None:
                del self._relays[pin]
                self._say(SetRelayOutputEvent(relay_of(self._names[pin]), "disabled"))
        if self._relays and now_s >= self._relays_due_s:
            self._relays_due_s = now_s + RELAY_S
            for pin in self._relays:
                self._say(SetRelayOutputEvent(relay_of(self._names[pin]), "enabled"))

    def _tell_flow(self, pin: int) -> None:
        flow = self._meters.flow(pin)
        if flow is None:
            return
        before = self._flows.get(pin)
        if before is None:
            self._next_id += 1
        started_ms, last_ms = self._wall_ms(flow.first_ms), self._wall_ms(flow.last_ms)
        flow_id = self._next_id if before is None else before.flow_id
        self._flows[pin] = FlowUpdate(flow_id, self._names[pin], "active", started_ms, last_ms, flow.pulses)
        self._say(self._flows[pin])

    def _create_drink(self, pin: int, flow: Flow) -> None:
        """A pour has become a record."""
        update = self._flows.get(pin)
        if update is not None:
            started_ms, ended_ms = self._wall_ms(flow.first_ms), self._wall_ms(flow.last_ms)
            self._flows[pin] = FlowUpdate(
                update.flow_id, update.meter_name, "active", started_ms, ended_ms, flow.pulses
            )
            self._say(DrinkCreatedEvent(update.flow_id, update.flow_id, update.meter_name, started_ms, ended_ms))

    def _wall_ms(self, flow_ms: int) -> int:
        return self._clock.wall_ms() - (round(self._clock.monotonic_s() * 1000) - flow_ms)

    def _say(self, event: Said) -> None:
        self._clients.send(format_tcp(event))
        if self._redis is not None:
            self._redis.send(format_redis(event))
