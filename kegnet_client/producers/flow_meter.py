"""Flow meters on GPIO lines: edges in, records of pours and drips out.

One thread waits for all lines. An edge wakes it, then it lets more come for `REST_S` and reads them together: a pour
costs twenty looks a second, whatever its pulses, and nobody pouring one look in `LOOK_S`. A line that cannot be had, or
vanishes, is one line in the log and tried again at each of these; the other meters go on.
"""

import logging
import os
import select
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kegnet_client.core.errors import LineError
from kegnet_client.core.flow import EdgeCounter, Flow, Meter
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.producers.base import Stop
from kegnet_client.producers.flow_meter_section import FlowMeterSettings
from kegnet_client.producers.gpio_line import Line
from kegnet_client.producers.pour_journal import PourJournal

REST_S = 0.05
LOOK_S = 60.0

log = logging.getLogger(__name__)

OpenLine = Callable[[FlowMeterSettings], Line]


class FlowMeter:
    """The meter ``name``. ``open_line`` gives its line or raises `LineError`; for one thread."""

    def __init__(
        self, name: str, settings: FlowMeterSettings, journal: PourJournal, open_line: OpenLine, clock: Clock
    ) -> None:
        self.name = name
        self.line: Line | None = None
        self._settings = settings
        self._journal = journal
        self._open_line = open_line
        self._clock = clock
        self._meter = Meter(settings.rules)
        self._counter = EdgeCounter(self._meter, self._now_ms())
        self._unreadable = Condition(log)
        self._chatters = Condition(log)
        self._pours = 0
        self._last_pulse_ms: int | None = None

    @property
    def due_ms(self) -> int | None:
        """When it has something to do without an edge."""
        return self._meter.due_ms

    @property
    def problem(self) -> str | None:
        """What is wrong, and what to do."""
        problems = [text for text in (self._unreadable.text, self._chatters.text, self._journal.problem) if text]
        return f"flow meter {self.name}: {'; '.join(problems)}" if problems else None

    def status(self) -> dict[str, Any]:
        """How it stands, for the status."""
        return {
            "pin": self._settings.pin,
            "line": self._settings.line,
            "reads": self.line is not None,
            "pours_now": self._meter.pour is not None,
            "pours": self._pours,
            "last_pulse_ms": self._last_pulse_ms,
            "drips": 0 if self._meter.drips is None else self._meter.drips.pulses,
            "ignored": self._meter.ignored,
            "problem": self.problem,
        }

    def look(self) -> None:
        """See whether its line is there; open it if not."""
        try:
            if self.line is not None:
                self.line.look()
                return
            self.line = self._open_line(self._settings)
            self._counter = EdgeCounter(self._meter, self._now_ms())
        except LineError as error:
            self._lose(str(error))
        except OSError as error:
            self._lose(_gone(self._settings, error))
        else:
            self._unreadable.end(f"flow meter {self.name} counts again")

    def take(self, *, is_readable: bool) -> list[Flow]:
        """Count what came, and end what is over; what was recorded."""
        now_ms = self._now_ms()
        done: list[Flow] = []
        if is_readable and self.line is not None:
            try:
                edges = [(at_ns // 1_000_000, number) for at_ns, number in self.line.read()]
            except OSError as error:
                self._lose(_gone(self._settings, error))
            else:
                done += self._counter.take(edges, now_ms)
        done += self._meter.look(now_ms)
        self._keep(done, now_ms)
        return done

    def close(self) -> None:
        """Record what there is."""
        if self.line is not None:
            self.take(is_readable=bool(select.select([self.line], [], [], 0)[0]))
            self.line.close()
        self._journal.close(self._meter.close())

    def _keep(self, done: list[Flow], now_ms: int) -> None:
        self._journal.keep(self._meter, done)
        self._pours += sum(flow.pulses >= self._settings.minimum for flow in done)
        if self._meter.last_pulse_ms is not None:
            self._last_pulse_ms = self._clock.wall_ms() - (now_ms - self._meter.last_pulse_ms)
        if (problem := self._meter.problem) is not None:
            self._chatters.begin(problem, f"flow meter {self.name}: {problem}")
        else:
            self._chatters.end()
        for flow in done:
            log.debug("%s: %d pulses in %.1f s", self.name, flow.pulses, (flow.last_ms - flow.first_ms) / 1000)

    def _lose(self, why: str) -> None:
        if self.line is not None:
            self.line.close()
            self.line = None
        self._unreadable.begin(why, f"flow meter {self.name} counts nothing, the others go on: {why}", key=why)

    def _now_ms(self) -> int:
        return round(self._clock.monotonic_s() * 1000)


def _gone(settings: FlowMeterSettings, error: OSError) -> str:
    why = os.strerror(error.errno) if error.errno else str(error)
    return f"the GPIO chip with the line {settings.line} is gone ({why}): plug it in again"


class FlowMeters:
    """A producer of all ``meters``. ``tell`` is called, in the thread that runs this, when their status is another."""

    def __init__(self, meters: Iterable[FlowMeter], tell: Callable[[], object], clock: Clock) -> None:
        self._meters = list(meters)
        self._tell = tell
        self._clock = clock
        self._told: object = None

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return [meter.name for meter in self._meters]

    @property
    def problem(self) -> str | None:
        """What is wrong with any of them."""
        return "; ".join(meter.problem for meter in self._meters if meter.problem) or None

    def status(self) -> Mapping[str, object]:
        """How each stands."""
        return {"meters": {meter.name: meter.status() for meter in self._meters}}

    def run(self, stop: Stop) -> None:
        """Count until ``stop``."""
        wake_fd = os.eventfd(0, os.EFD_CLOEXEC)
        stop.on_set(lambda: os.eventfd_write(wake_fd, 1))
        look_at_s = self._clock.monotonic_s()
        while not stop.is_set():
            if self._clock.monotonic_s() >= look_at_s:
                look_at_s = self._clock.monotonic_s() + LOOK_S
                for meter in self._meters:
                    meter.look()
                self._tell_if_changed(always=True)
            readable = self._wait(wake_fd, look_at_s)
            if readable and stop.wait(REST_S):
                break
            for meter in self._meters:
                meter.take(is_readable=meter in readable)
            self._tell_if_changed(always=False)
        for meter in self._meters:
            meter.close()

    def _wait(self, wake_fd: int, look_at_s: float) -> set[FlowMeter]:
        """The meters whose lines have edges, once there is one or something else is to be done."""
        poll = select.poll()
        poll.register(wake_fd, select.POLLIN)
        by_fd = {meter.line.fileno(): meter for meter in self._meters if meter.line is not None}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        due_ms = min([look_at_s * 1000, *(due for meter in self._meters if (due := meter.due_ms) is not None)])
        wait_ms = max(0.0, due_ms - self._clock.monotonic_s() * 1000)
        return {by_fd[fd] for fd, _ in poll.poll(wait_ms + 1) if fd in by_fd}

    def _tell_if_changed(self, *, always: bool) -> None:
        """At each look, and when a pour begins or ends, or something is wrong: not at each pulse."""
        news = [(one["pours_now"], one["pours"], one["drips"], one["problem"]) for one in self._statuses()]
        if always or news != self._told:
            self._told = news
            self._tell()

    def _statuses(self) -> list[dict[str, Any]]:
        return [meter.status() for meter in self._meters]
