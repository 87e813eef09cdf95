"""Local events: listens to Kegbot's own sensor programs in the place of its core, and makes pours of what they tell.

They connect to localhost:9805, as they did to Kegbot 1.0, or speak on a Redis channel, as from 1.1 on. A meter's
totals become pours, a sensor's temperatures readings. All are told what flows, and what became a record.

The producers of this machine's Kegboards connect, too, by a Unix socket: they count for themselves, tell what flows
and which tokens come and go, and obey: stop a flow, switch a relay.
"""

import logging
import math
import selectors
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from kegnet_client.core.errors import RecordError, SourceError
from kegnet_client.core.flow import Flow
from kegnet_client.core.records import MAX_PIN, is_sensor
from kegnet_client.core.wire.kegboard_messages import kernel_sensor, to_millidegrees
from kegnet_client.core.wire.local_events import (
    ALL_METERS,
    ControllerConnectedEvent,
    DrinkCreatedEvent,
    FlowRequest,
    FlowUpdate,
    MeterUpdate,
    PassedOn,
    Said,
    SetRelayOutputEvent,
    ThermoEvent,
    TokenAuthEvent,
    format_redis,
    format_tcp,
    parse_any,
    parse_event,
    split_meter,
)
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.producers.base import Stop
from kegnet_client.producers.board_sensors import BoardSensors
from kegnet_client.producers.flow_teller import FlowTeller
from kegnet_client.producers.local_clients import Client, LocalClients, listen_tcp, listen_unix
from kegnet_client.producers.redis_channel import RedisChannel
from kegnet_client.producers.relays import Relays
from kegnet_client.producers.total_meters import TotalMeters

NOT_CAPTIVE = "core.rfid"
"""Of these devices alone the token does not stay where it is while something flows."""

_OWN_MESSAGES = 64

log = logging.getLogger(__name__)


class LocalEvents:
    """The producer. ``boards`` has the first pin of each board by its name; one that is not there begins at 0.

    Kegboards of this machine connect at ``boards_socket``. ``make_meters`` gets what is to be called when a pour ends.
    ``changed`` is as everywhere.
    """

    def __init__(
        self,
        *,
        port: int,
        redis: RedisChannel | None,
        boards: Mapping[str, int],
        boards_socket: Path,
        idle_s: float,
        make_meters: Callable[[Callable[[int, Flow], object]], TotalMeters],
        sensors: BoardSensors,
        changed: Callable[[], object],
        clock: Clock,
    ) -> None:
        self._selector = selectors.DefaultSelector()
        listener = listen_tcp(port)
        self.port: int = listener.getsockname()[1]
        self._clients = LocalClients(listener, self._selector)
        self._no_kegboards = Condition(log)
        self._kegboards = self._listen_to_kegboards(boards_socket)
        self._names_of_kegboards: dict[Client, str] = {}
        self._flows_of_kegboards: dict[str, FlowUpdate] = {}
        self._redis = redis
        self._boards = boards
        self._teller = FlowTeller(self._say, clock)
        self._relays = Relays(idle_s, self._say, clock)
        self._meters = make_meters(self._teller.create_drink)
        self._sensors = sensors
        self._changed = changed
        self._clock = clock
        self._bad = Condition(log)
        self._names: dict[int, str] = {}
        self._own_messages: deque[bytes] = deque(maxlen=_OWN_MESSAGES)
        """Said on the Redis channel for others, where they are heard, too."""

    @property
    def problem(self) -> str | None:
        """What keeps it from producing and what to do; None when nothing does."""
        redis = None if self._redis is None else self._redis.problem
        problems = (redis, self._no_kegboards.text, self._bad.text, self._meters.problem, self._sensors.problem)
        return "; ".join(filter(None, problems)) or None

    def status(self) -> Mapping[str, object]:
        """Who is connected, and what the meters and sensors say."""
        return {
            "device": f"port {self.port}",
            "clients": self._clients.count,
            "kegboards": sorted(self._names_of_kegboards.values()),
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
                due_s = min(self._meters.due_s, self._relays.due_s)
                wait_s = None if due_s == math.inf else max(0.0, due_s - self._clock.monotonic_s())
                self._handle(wait_s)
                self._look()
        finally:
            self._meters.close()
            self._sensors.close()
            self._clients.close()
            if self._kegboards is not None:
                self._kegboards.close()
            if self._redis is not None:
                self._redis.close()
            self._selector.close()

    def _listen_to_kegboards(self, path: Path) -> LocalClients | None:
        try:
            return LocalClients(listen_unix(path), self._selector)
        except SourceError as error:
            self._no_kegboards.begin(str(error), f"{error}; sensor programs are heard")
            return None

    def _handle(self, wait_s: float | None) -> None:
        before = self._clients.count
        for key, mask in self._selector.select(wait_s):
            if key.fileobj is self._redis and self._redis is not None:
                for message in self._redis.take():
                    if message is not None and message in self._own_messages:
                        self._own_messages.remove(message)
                    else:
                        self._take(message, "the Redis channel", self._bad, self._obey)
            elif isinstance(key.data, Client):
                client = key.data
                obey = self._obey if client.others is self._clients else partial(self._obey_kegboard, client)
                for message in client.others.handle(client, mask):
                    self._take(message, client.name, client.bad, obey)
                if not client.others.has(client):
                    self._forget_kegboard(client)
            elif isinstance(key.data, LocalClients):
                key.data.accept()
        if before != self._clients.count:
            self._changed()

    def _take(self, message: bytes | None, sender: str, bad: Condition, obey: Callable[[bytes], object]) -> None:
        try:
            if message is None:
                raise RecordError("it is too long")
            log.debug("%s: %a", sender, message)
            obey(message)
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
                self._obey_request(meter_name, request)
            case TokenAuthEvent() as token:
                self._take_token(token)
            case ControllerConnectedEvent():
                self._meters.said_hello()  # opening a board resets it

    def _obey_kegboard(self, client: Client, message: bytes) -> None:
        event = parse_any(message)
        match event:
            case ControllerConnectedEvent(name):
                self._names_of_kegboards[client] = name
                self._pass_on(event)
                self._changed()
            case FlowUpdate():
                self._flows_of_kegboards[event.meter_name] = event
                if event.state == "completed":
                    del self._flows_of_kegboards[event.meter_name]
                    self._relays.disable(event.meter_name)
                self._say(event)
            case DrinkCreatedEvent():
                self._say(event)
            case TokenAuthEvent():
                self._pass_on(event)
                self._take_token(event)

    def _forget_kegboard(self, client: Client) -> None:
        name = self._names_of_kegboards.pop(client, None)
        if name is not None:
            for meter_name in [one for one in self._flows_of_kegboards if split_meter(one)[0] == name]:
                del self._flows_of_kegboards[meter_name]
            self._changed()

    def _is_of_kegboard(self, meter_name: str) -> bool:
        return split_meter(meter_name)[0] in self._names_of_kegboards.values()

    def _take_token(self, token: TokenAuthEvent) -> None:
        device, meter_name = token.auth_device_name, token.meter_name
        log.info("Token %s: %a:%a at %a", token.status, device, token.token_value, meter_name)
        if token.status != "removed" or device == NOT_CAPTIVE:
            return
        names = [*self._names.values(), *self._flows_of_kegboards] if meter_name == ALL_METERS else [meter_name]
        for name in names:
            self._stop(name)

    def _obey_request(self, meter_name: str, request: str) -> None:
        match request:
            case "start_flow":
                if not self._is_of_kegboard(meter_name):
                    self._pin(meter_name)
                self._relays.enable(meter_name)
            case "stop_flow":
                self._stop(meter_name)
                self._relays.disable(meter_name)
            case _ if self._is_of_kegboard(meter_name):
                if meter_name in self._flows_of_kegboards:
                    self._say(self._flows_of_kegboards[meter_name])
            case _:
                self._teller.tell(self._pin(meter_name), meter_name, self._meters)

    def _stop(self, meter_name: str) -> None:
        """End what flows at this meter, whoever counts it."""
        if not self._is_of_kegboard(meter_name):
            self._meters.stop(self._pin(meter_name))
        elif self._kegboards is not None:
            self._kegboards.send(format_tcp(FlowRequest(meter_name, "stop_flow")))

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
        for meter_name in self._teller.look(self._meters, self._names):
            self._relays.disable(meter_name)
        self._relays.look(self._flows)

    def _flows(self, meter_name: str) -> bool:
        if meter_name in self._flows_of_kegboards:
            return True
        return any(name == meter_name and self._meters.flow(pin) is not None for pin, name in self._names.items())

    def _say(self, event: Said) -> None:
        self._clients.send(format_tcp(event))
        if self._kegboards is not None and isinstance(event, SetRelayOutputEvent):
            self._kegboards.send(format_tcp(event))
        if self._redis is not None:
            self._redis.send(format_redis(event))

    def _pass_on(self, event: PassedOn) -> None:
        """Say ``event`` where it is no surprise: a program of Kegbot 1.0 goes away when it hears one that it does not
        know."""
        if self._redis is not None:
            message = format_redis(event)
            self._own_messages.append(message)
            self._redis.send(message)
