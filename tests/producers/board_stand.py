"""A Kegboard's producer beside a spool, and a board that says what it is told to."""

from collections.abc import Callable
from pathlib import Path

from kegnet_client.core.errors import BoardError
from kegnet_client.core.flow import FlowRules
from kegnet_client.core.records import Pour, Reading, Record, parse
from kegnet_client.core.wire.kegboard import Event
from kegnet_client.core.wire.kegboard_messages import (
    HelloMessage,
    Message,
    MeterStatusMessage,
)
from kegnet_client.producers.base import Stop
from kegnet_client.producers.board_link import BoardLink
from kegnet_client.producers.board_sensors import BoardSensors, ReadingRules
from kegnet_client.producers.kegboard import Kegboard
from kegnet_client.producers.total_meters import TotalMeters
from kegnet_client.spool.directory import enqueue

from ..support.clock import FakeClock

IDLE_S = 10.0
RUNNING_S = 7200.0
"""A board that has been up for so long was not switched on for this producer."""
Said = Event | float | BoardError
"""What a board says, how many seconds pass, or how its line is lost."""


def total(reading: int, meter: str = "flow0") -> MeterStatusMessage:
    return MeterStatusMessage(meter, reading)


def hello(uptime_s: float | None = None, version: int = 18) -> HelloMessage:
    uptime_ms = None if uptime_s is None else round(uptime_s * 1000)
    return HelloMessage(version, serial_number="KB-1", uptime_ms=uptime_ms, uptime_days=None if uptime_s is None else 0)


class Line:
    """The line of a board that says what it is told to, and is silent then, until the stop."""

    path = Path("/dev/ttyUSB0")

    def __init__(self, script: list[Said], clock: FakeClock, stop: Stop) -> None:
        self._script = script
        self._clock = clock
        self._stop = stop
        self.sent: list[Message] = []

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def read(self, timeout_s: float | None, _others: object = ()) -> list[Event]:
        while self._script:
            match said := self._script.pop(0):
                case float():
                    passes_s = said if timeout_s is None else min(said, timeout_s)
                    self._clock.now_s += passes_s
                    if said > passes_s:
                        self._script.insert(0, said - passes_s)
                    return []
                case BoardError():
                    raise said
                case _:
                    return [said]
        self._stop.set()
        return []


class Stand:
    """A producer of a board, beside a spool."""

    def __init__(self, spool: Path, clock: FakeClock) -> None:
        self.spool = spool
        self.clock = clock
        self.rules = ReadingRules(60.0, None, True)
        self.enqueue: Callable[[Reading], object] = lambda reading: enqueue(spool, reading)
        self.told = 0
        self.board: Kegboard

    def hear(self, *script: Said, name: str = "bar", first_pin: int = 0, max_hz: int = 2000) -> None:
        """A start, all that the board says, and an end."""
        stop, left = Stop(), list(script)
        rules = FlowRules(idle_ms=round(IDLE_S * 1000), max_hz=max_hz)
        meters = TotalMeters(self.spool, "kegboard", name, rules, self.clock, self.tell)
        meters.start()
        self.board = Kegboard(
            name,
            open_port=lambda stop: self.open(left, stop),  # type: ignore[arg-type,return-value]  # a stand-in
            first_pin=first_pin,
            meters=meters,
            sensors=BoardSensors(self.rules, self.enqueue, self.clock),
            link=BoardLink(self.spool / "nobody listens", name, first_pin, self.clock),
            changed=self.tell,
            clock=self.clock,
        )
        self.board.run(stop)

    def open(self, script: list[Said], stop: Stop) -> Line:
        if script and isinstance(script[0], BoardError):
            self.clock.now_s += 40.0  # what is waited for
            raise script.pop(0)  # type: ignore[misc]  # mypy does not follow the look at it
        return Line(script, self.clock, stop)

    def tell(self) -> None:
        self.told += 1

    def records(self) -> list[Record]:
        """All that is in the spool, in the order of its time."""
        names = sorted(path.name for path in self.spool.glob("[!.]*"))
        return [parse(name, (self.spool / name).read_bytes()) for name in names]

    def pours(self) -> list[tuple[int, int]]:
        return [(one.pin, one.pulses) for one in self.records() if isinstance(one, Pour)]

    def readings(self) -> list[tuple[str, int]]:
        return [(one.sensor, one.millidegrees) for one in self.records() if isinstance(one, Reading)]
