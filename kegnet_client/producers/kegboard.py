"""The Kegboard: reads its board's line, and makes pours of what its meters and readings of what its sensors say.

- A board that is unplugged is opened again when it is back; what flowed ends as a pour meanwhile.
- What flowed while nobody listened is a pour of its own, unless the board has begun anew.
- A reading of a sensor whose id fails its check sum is none, and 85 °C is none.
- One log line a change, none a message.
- Its tokens and its flows are told to local events, which may switch its relays and stop a flow.
"""

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from kegnet_client.core.errors import BoardError, RecordError
from kegnet_client.core.flow import CLOCK_FAULT
from kegnet_client.core.records import MAX_PIN
from kegnet_client.core.wire.kegboard import Event, FramingBroken, FramingFixed
from kegnet_client.core.wire.kegboard_messages import (
    AuthTokenMessage,
    BadMessage,
    HelloMessage,
    MeterStatusMessage,
    OutputStatusMessage,
    PingCommand,
    SetOutputCommand,
    TemperatureReadingMessage,
    kernel_sensor,
    meter_number,
    to_millidegrees,
)
from kegnet_client.core.wire.local_events import SetRelayOutputEvent, split_meter, split_relay
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.producers.base import Stop
from kegnet_client.producers.board_link import BoardLink
from kegnet_client.producers.board_sensors import BoardSensors
from kegnet_client.producers.kegboard_port import HELLO_S, BoardPort
from kegnet_client.producers.total_meters import TotalMeters

MAX_METERS = 16
"""No board has more than six; so many a broken one may make up."""
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 30.0
CALM_S = 10.0
"""Framing that was broken is in order again once nothing broke it for so long."""
DAY_MS = 86_400_000

log = logging.getLogger(__name__)


class Kegboard:
    """The producer of one board, whose line ``open_port`` opens; its meter ``flow0`` is the pin ``first_pin``.

    ``link`` is its way to local events, and has heard of what ends at ``meters``.
    ``changed`` is called when `problem` or `status` is another, for totals once a second. With ``is_verbose`` each
    message is logged.
    """

    def __init__(
        self,
        name: str,
        *,
        open_port: Callable[[Stop], BoardPort],
        first_pin: int,
        meters: TotalMeters,
        sensors: BoardSensors,
        link: BoardLink,
        changed: Callable[[], object],
        clock: Clock,
        is_verbose: bool = False,
    ) -> None:
        self._name = name
        self._open_port = open_port
        self._first_pin = first_pin
        self._meters = meters
        self._sensors = sensors
        self._link = link
        self._changed = changed
        self._clock = clock
        self._is_verbose = is_verbose
        self._path: Path | None = None
        self._hello: HelloMessage | None = None
        self._uptime_ms: int | None = None
        self._silent_since_s = math.inf
        """Since when nobody has listened to the board; until its first hello."""
        self._calm_at_s = math.inf
        self._retry_s = FIRST_RETRY_S
        self._absent = Condition(log)
        self._framing = Condition(log)
        self._bad = Condition(log)
        self._shown: object = None

    @property
    def problem(self) -> str | None:
        """What keeps it from producing and what to do; None when nothing does."""
        problems = (self._absent.text, self._framing.text, self._bad.text, self._meters.problem, self._sensors.problem)
        return "; ".join(filter(None, problems)) or None

    def status(self) -> Mapping[str, object]:
        """Where the board is, what it is, and what its meters and sensors say."""
        hello = self._hello
        return {
            "device": None if self._path is None else str(self._path),
            "firmware_version": None if hello is None else hello.firmware_version,
            "serial_number": None if hello is None else hello.serial_number,
            "meters": self._meters.status(),
            "temperatures": self._sensors.latest(),
            "readings_not_taken": self._sensors.not_taken,
        }

    def run(self, stop: Stop) -> None:
        """Listen to the board, and open it again when it is lost, until ``stop`` is set."""
        try:
            while not stop.is_set():
                try:
                    with self._open_port(stop) as port:
                        if not stop.is_set():
                            self._listen(port, stop)
                except BoardError as error:
                    self._path = None
                    self._meters.release()
                    self._silent_since_s = min(self._silent_since_s, self._clock.monotonic_s())
                    self._absent.begin(str(error), f"{self._name}: {error}; it is tried again", key=type(error))
                    self._tell()
                    self._wait(stop)
        finally:
            self._meters.close()
            self._sensors.close()
            self._link.close()

    def _listen(self, port: BoardPort, stop: Stop) -> None:
        self._absent.end(f"{self._name}: the board is back at {port.path}")
        self._path = port.path
        self._silent_since_s = min(self._silent_since_s, self._clock.monotonic_s())
        port.send(PingCommand())
        self._meters.hold(HELLO_S)
        self._tell()
        while not stop.is_set():
            due_s = min(self._meters.due_s, self._calm_at_s)
            left_s = None if due_s == math.inf else max(0.0, due_s - self._clock.monotonic_s())
            self._take_all(port.read(left_s, self._link.waits_for))
            self._obey(port)
            self._look()

    def _wait(self, stop: Stop) -> None:
        """For the next try, while what flowed comes to its end."""
        left_s = self._retry_s
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
        while left_s > 0 and not stop.is_set():
            wait_s = min(left_s, max(0.0, self._meters.due_s - self._clock.monotonic_s()) + 0.001)
            stop.wait(wait_s)
            left_s -= wait_s
            self._obey(None)
            self._look()

    def _obey(self, port: BoardPort | None) -> None:
        """Do what local events ask for; a board that is away has no relays."""
        for event in self._link.take():
            if not isinstance(event, SetRelayOutputEvent):
                self._meters.stop(self._first_pin + split_meter(event.meter_name)[1])
            elif port is not None:
                port.send(SetOutputCommand(split_relay(event.output_name)[1], event.output_mode == "enabled"))

    def _look(self) -> None:
        self._meters.look()
        self._link.tell_flows(self._meters)
        if self._clock.monotonic_s() >= self._calm_at_s:
            self._calm_at_s = math.inf
            self._framing.end(f"{self._name}: packet framing fixed")
            self._tell()

    def _take_all(self, events: list[Event]) -> None:
        """Take what came at one time: of the totals of a meter, the last one, since their times are not known."""
        totals: dict[str, MeterStatusMessage] = {}
        for event in events:
            if self._is_verbose:
                log.info("%s: %s", self._name, event)
            if isinstance(event, MeterStatusMessage):
                totals[event.meter_name] = event
                continue
            if isinstance(event, HelloMessage):
                for total in totals.values():
                    self._take(total)
                totals = {}
            self._take(event)
        for total in totals.values():
            self._take(total)

    def _take(self, event: Event) -> None:
        match event:
            case HelloMessage():
                self._take_hello(event)
            case MeterStatusMessage(meter_name, total):
                self._take_total(meter_name, total)
            case TemperatureReadingMessage(sensor_name, microdegrees):
                self._take_temperature(sensor_name, microdegrees)
            case AuthTokenMessage(device, _, status):
                came = "came" if status else "went"
                log.info("%s: token %s of %a %s", self._name, event.token_value, device[:40], came)
                self._link.tell_token(device, event.token_value, is_there=bool(status))
            case OutputStatusMessage(output_name, is_on):
                log.info("%s: %a is %s", self._name, output_name[:40], "on" if is_on else "off")
            case BadMessage(message_id, reason):
                text = f"the board sends messages that are none ({message_id:#04x}: {reason})"
                self._bad.begin(text, f"{self._name}: {text}", key=(message_id, reason))
                self._tell()
            case FramingBroken():
                text = "what comes from the board is disturbed: look at its cable, and what else runs beside it"
                self._framing.begin(text, f"{self._name}: {event}")
                self._calm_at_s = math.inf
                self._tell()
            case FramingFixed():
                self._calm_at_s = self._clock.monotonic_s() + CALM_S

    def _take_hello(self, hello: HelloMessage) -> None:
        self._retry_s = FIRST_RETRY_S
        self._link.connect()
        before, self._hello = self._hello, hello
        kind = (hello.firmware_version, hello.serial_number)
        if before is None or kind != (before.firmware_version, before.serial_number):
            number = f", serial number {hello.serial_number[:40]!a}" if hello.serial_number else ""
            log.info("%s: a Kegboard at %s, version %d%s", self._name, self._path, hello.firmware_version, number)
            self._tell()
        if hello.uptime_ms is None:
            # Before version 18 it may say so at its start, or because it was asked, or for no reason at all.
            self._meters.said_hello()
            return
        before_ms, self._uptime_ms = self._uptime_ms, hello.uptime_ms + DAY_MS * (hello.uptime_days or 0)
        # One that was lost, or reset by the opening, has been up for less than it was not heard, by any clock.
        silent_ms = (self._clock.monotonic_s() - self._silent_since_s) * 1000 * (1 - CLOCK_FAULT)
        self._silent_since_s = math.inf
        if self._uptime_ms < max(before_ms or 0, silent_ms):
            self._meters.restarted(self._uptime_ms)
        else:
            self._meters.runs_since(self._uptime_ms)

    def _take_total(self, meter_name: str, total: int) -> None:
        try:
            number = meter_number(meter_name)
            if number >= MAX_METERS or self._first_pin + number > MAX_PIN:
                raise RecordError(f"there is no pin for the meter {meter_name}")
        except RecordError as error:
            self._bad.begin(str(error), f"{self._name}: {error}; what it counts is left out", key=meter_name)
            self._tell()
            return
        self._meters.take(self._first_pin + number, total)

    def _take_temperature(self, sensor_name: str, microdegrees: int) -> None:
        sensor = f"{sensor_name[:40]!a}"
        try:
            sensor = kernel_sensor(sensor_name)
            is_news = self._sensors.take(sensor, to_millidegrees(microdegrees))
        except RecordError as error:
            self._sensors.fail(sensor, str(error))
            is_news = False
        if is_news or self.problem != self._shown:
            self._tell()

    def _tell(self) -> None:
        self._shown = self.problem
        self._changed()
