"""A Kegboard that is none: totals, temperatures and hellos as firmware version 18 sends them. No I/O, no clock."""

import random
from dataclasses import dataclass

from kegnet_client.core.wire.kegboard import PREFIX, Decoder, encode
from kegnet_client.core.wire.kegboard_messages import (
    AuthTokenMessage,
    HelloMessage,
    Message,
    MeterStatusMessage,
    OutputStatusMessage,
    PingCommand,
    SetOutputCommand,
    SetSerialNumberCommand,
    TemperatureReadingMessage,
    sensor_name,
)

FIRMWARE_VERSION = 18
TICK_S = 0.1
"""It tells of its meters no more often."""
HELLO_S = 10.0
CONVERSION_S = 1.0
"""What a thermometer takes; they are read one after the other."""
WATCHDOG_S = 10.0
"""An output that was switched on goes off after so long."""
RELAYS = 4
DAY_MS = 86_400_000


@dataclass(slots=True)
class _Flow:
    """A meter that turns."""

    meter: int
    pulses: int
    hz: float
    started_s: float
    given: int = 0


class SimulatedBoard:
    """One board with ``meters`` meters, switched on at ``now_s`` of any clock; ``sensors`` are in thousandths of a
    degree, by their ids as the kernel writes them."""

    def __init__(
        self, now_s: float, *, serial_number: str = "", meters: int = 2, sensors: dict[str, int] | None = None
    ) -> None:
        self.serial_number = serial_number
        self.sensors = {} if sensors is None else dict(sensors)
        self.totals = [0] * meters
        self.outputs: dict[int, float] = {}
        """When each output that is on was last told to be."""
        self._decoder = Decoder()
        self._dice = random.Random(1)  # noqa: S311  # noise is no secret
        self.reset(now_s)

    def reset(self, now_s: float) -> None:
        """Begin anew, as when its reset line is drawn: totals are 0, what flows stops."""
        self.totals = [0] * len(self.totals)
        self.outputs.clear()
        self._flows: list[_Flow] = []
        self._told = list(self.totals)
        self._started_s = now_s
        self._hello_s = now_s
        self._reading_s = now_s + CONVERSION_S
        self._next_sensor = 0
        self._queue: list[Message] = []

    def pour(self, now_s: float, meter: int, pulses: int, hz: float) -> None:
        """Have ``meter`` turn until it has given so many pulses more."""
        self._flows.append(_Flow(meter, pulses, hz, now_s))

    def show_token(self, device: str, token: bytes, *, is_there: bool) -> None:
        """An iButton or card comes or goes."""
        self._queue.append(AuthTokenMessage(device, token, int(is_there)))

    def noise(self, count: int) -> bytes:
        """Bytes that are none of its own, the beginning of a frame among them."""
        return PREFIX[: self._dice.randrange(len(PREFIX))] + self._dice.randbytes(count)

    def hear(self, data: bytes, now_s: float) -> None:
        """Obey the commands in ``data``."""
        for command in self._decoder.feed(data):
            match command:
                case PingCommand():
                    self._hello_s = now_s
                case SetOutputCommand(output_id=number, output_mode=is_on) if number < RELAYS:
                    self._switch(number, is_on, now_s)
                case SetSerialNumberCommand(serial_number=serial_number) if not self.serial_number:
                    self.serial_number = serial_number
                    self._hello_s = now_s

    def tick(self, now_s: float) -> bytes:
        """All that it says up to ``now_s``; to be asked every `TICK_S`."""
        said, self._queue = self._queue, []
        if now_s >= self._hello_s:
            said.append(self._hello(now_s))
            self._hello_s = now_s + HELLO_S
        for number in [number for number, told_s in self.outputs.items() if now_s >= told_s + WATCHDOG_S]:
            self._switch(number, False, now_s)
        said += self._queue
        self._queue = []
        said += self._count(now_s)
        if self.sensors and now_s >= self._reading_s:
            said.append(self._read_sensor())
            self._reading_s = now_s + CONVERSION_S
        return b"".join(map(encode, said))

    def _hello(self, now_s: float) -> HelloMessage:
        days, ms = divmod(round((now_s - self._started_s) * 1000), DAY_MS)
        return HelloMessage(FIRMWARE_VERSION, serial_number=self.serial_number or None, uptime_ms=ms, uptime_days=days)

    def _count(self, now_s: float) -> list[Message]:
        for flow in self._flows:
            due = min(flow.pulses, int((now_s - flow.started_s) * flow.hz))
            self.totals[flow.meter] = (self.totals[flow.meter] + due - flow.given) % 2**32
            flow.given = due
        self._flows = [flow for flow in self._flows if flow.given < flow.pulses]
        changed = [number for number, total in enumerate(self.totals) if total != self._told[number]]
        self._told = list(self.totals)
        return [MeterStatusMessage(f"flow{number}", self.totals[number]) for number in changed]

    def _read_sensor(self) -> Message:
        sensors = sorted(self.sensors)
        sensor = sensors[self._next_sensor % len(sensors)]
        self._next_sensor += 1
        return TemperatureReadingMessage(sensor_name(sensor), self.sensors[sensor] * 1000)

    def _switch(self, number: int, is_on: bool, now_s: float) -> None:
        was_on = number in self.outputs
        if is_on:
            self.outputs[number] = now_s
        else:
            self.outputs.pop(number, None)
        if was_on != is_on:
            self._queue.append(OutputStatusMessage(f"relay{number}", is_on))
