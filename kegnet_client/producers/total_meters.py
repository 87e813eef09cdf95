"""The meters of a producer that hears totals: each with its counter, its journal, and what the status says of it.

A meter is known from its first total on, and from what it left behind at a start. The spool need not be there: what
is counted until it is becomes a record then.
"""

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from kegnet_client.core.errors import SpoolError
from kegnet_client.core.flow import CLOCK_FAULT, NEW_BOARD_MS, Flow, FlowRules, Meter, TotalCounter
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.producers.pour_journal import PourJournal, take_up_others

RESTART_MS = 200
"""That a board began may be heard so much later than it did, together with the first total after it."""
TELL_MS = 1000
MAX_METERS = 64
"""So many journals somebody who makes up meters may have made."""

log = logging.getLogger(__name__)


class TotalMeters:
    """All meters of the section ``section`` of ``producer``; for one thread, but for `status` and `problem`.

    ``changed`` is called when something begins or ends, a pour or a problem, and once a second while totals come.
    """

    def __init__(
        self,
        spool: Path,
        producer: str,
        section: str,
        rules: FlowRules,
        clock: Clock,
        changed: Callable[[], object] = lambda: None,
        ended: Callable[[int, Flow], object] = lambda _pin, _flow: None,
    ) -> None:
        self._spool = spool
        self._producer = producer
        self._section = section
        self._rules = rules
        self._clock = clock
        self._changed = changed
        self._ended = ended
        self._meters: dict[int, _TotalMeter] = {}
        self._first: dict[int, tuple[int, int]] = {}
        """The first total of each meter that has no journal yet, and when it was told."""
        self._began_ms: int | None = None
        """When the board began, where it says so."""
        self._is_known_from_zero = False
        """Whether a meter that is heard for the first time was 0 then."""
        self._said_hello = False
        self._held: list[tuple[int, int, int]] = []
        """Totals that wait for the board's hello: pin, total, when it was told."""
        self._hold_until_ms: int | None = None
        self._told_ms = 0
        self._no_journal = Condition(log)
        self._others: list[PourJournal] = []

    @property
    def problem(self) -> str | None:
        """What is wrong with any of them; None when nothing is."""
        found = [self._no_journal.text, *(meter.problem for meter in tuple(self._meters.values()))]
        return "; ".join(filter(None, found)) or None

    @property
    def pins(self) -> list[int]:
        """Those of the meters that are known."""
        return list(self._meters)

    @property
    def due_s(self) -> float:
        """When `look` has something to do, by the clock that nobody sets."""
        dues = [self._hold_until_ms, *(meter.meter.due_ms for meter in self._meters.values())]
        return min((due_ms / 1000 for due_ms in dues if due_ms is not None), default=float("inf"))

    def status(self) -> list[Mapping[str, object]]:
        """What the status says of each."""
        return [meter.status() for _, meter in sorted(self._meters.items())]

    def start(self) -> None:
        """Take up what was left behind, by these meters and by those of sections that are gone. `SpoolError`."""
        pattern = re.compile(rf"\.{re.escape(self._producer)}\.{re.escape(self._section)}-([0-9]+)\..*")
        try:
            names = [path.name for path in self._spool.iterdir()]
        except OSError as error:
            raise SpoolError(f"{self._spool}: {error.strerror}") from error
        for found in filter(None, map(pattern.fullmatch, names)):
            self._open(int(found[1]))

    def take_up_others(self, sections: list[str]) -> None:
        """Take up what meters left behind that have none of ``sections`` any more."""
        names = [f"{section}-{pin}" for section in sections for pin in range(256)]
        self._others += take_up_others(self._spool, self._producer, names, self._clock)

    def hold(self, longest_s: float) -> None:
        """A board was opened and asked for its hello: totals wait until it is known what they count from."""
        self._hold_until_ms = self._now_ms() + round(longest_s * 1000)

    def release(self, until_ms: float = float("inf")) -> None:
        """Take what was told by ``until_ms`` and was held; hold nothing any more, if that is all."""
        if until_ms >= self._now_ms():
            self._hold_until_ms = None
        held, self._held = self._held, []
        for pin, total, at_ms in held:
            if at_ms <= until_ms:
                self._take(pin, total, at_ms)
            else:
                self._held.append((pin, total, at_ms))

    def restarted(self, ago_ms: int) -> None:
        """The board has begun anew since it was heard last, so long ago: every total was 0."""
        began_ms = self._now_ms() - max(ago_ms, RESTART_MS)
        self.release(began_ms)  # first: none of that counts from the new zero
        self._began_ms = began_ms
        self._is_known_from_zero = True
        for meter in self._meters.values():
            meter.restart(began_ms)
        self.release()

    def runs_since(self, ago_ms: int) -> None:
        """The board is the one that was heard last, if any was, and began so long ago."""
        self._began_ms = self._now_ms() - ago_ms
        self._is_known_from_zero |= ago_ms <= NEW_BOARD_MS
        for meter in self._meters.values():
            meter.runs_since(self._began_ms)
        self.release()

    def said_hello(self) -> None:
        """It may have begun anew: a total that is lower than the one before counts from 0, and a small first one."""
        self._said_hello = True
        for meter in self._meters.values():
            meter.counter.board_said_hello()
        self.release()

    def take(self, pin: int, total: int) -> None:
        """The meter ``pin`` has counted ``total`` pulses."""
        if self._hold_until_ms is None:
            self._take(pin, total, self._now_ms())
        else:
            self._held.append((pin, total, self._now_ms()))

    def _take(self, pin: int, total: int, now_ms: int) -> None:
        meter = self._meters.get(pin) or self._open(pin)
        if meter is None:
            self._first.setdefault(pin, (total, now_ms))
            return
        if meter.take(total, now_ms) or now_ms - self._told_ms >= TELL_MS:
            self._told_ms = now_ms
            self._changed()

    def flow(self, pin: int) -> Flow | None:
        """What flows at the meter ``pin``, by the clock that nobody sets; drips too."""
        meter = self._meters.get(pin)
        return None if meter is None else meter.meter.pour

    def stop(self, pin: int) -> None:
        """End what flows at the meter ``pin``."""
        if pin in self._meters:
            self._meters[pin].stop()
            self._changed()

    def look(self) -> None:
        """End what is over."""
        now_ms = self._now_ms()
        if self._hold_until_ms is not None and now_ms >= self._hold_until_ms:
            self.release()
        ended = [meter.look(now_ms) for meter in self._meters.values()]
        if any(ended):
            self._changed()

    def close(self) -> None:
        """End everything; when this returns, it is on the disk, if that can be.

        A total that is held is left to the next start, which hears one that is no lower.
        """
        for meter in self._meters.values():
            meter.close()
        for journal in self._others:
            journal.close()

    def _open(self, pin: int) -> "_TotalMeter | None":
        """The meter ``pin``; None while it cannot have a journal."""
        if pin in self._meters:
            return self._meters[pin]
        try:
            if len(self._meters) >= MAX_METERS:
                raise SpoolError(f"there are more than {MAX_METERS} meters: fix what makes them up")
            journal = PourJournal(self._spool, self._producer, f"{self._section}-{pin}", pin, self._rules, self._clock)
        except SpoolError as error:
            self._no_journal.begin(str(error), f"pours on pin {pin} wait in memory: {error}")
            return None
        self._no_journal.end("pours are kept on the disk again")
        journal.start()
        made = self._meters[pin] = _TotalMeter(pin, Meter(self._rules), journal, self._ended, self._clock)
        first = self._first.pop(pin, None)
        if self._said_hello:
            made.counter.board_said_hello()
        if journal.total is None and self._is_known_from_zero and self._began_ms is not None:
            made.restart(self._began_ms)
        elif journal.total is None and first is not None:
            made.take(*first)
        elif self._began_ms is not None:
            made.runs_since(self._began_ms)
        return made

    def _now_ms(self) -> int:
        return round(self._clock.monotonic_s() * 1000)


class _TotalMeter:
    """One of them. What returns a bool says whether something began or ended."""

    def __init__(
        self,
        pin: int,
        meter: Meter,
        journal: PourJournal,
        ended: Callable[[int, Flow], object],
        clock: Clock,
    ) -> None:
        self.meter = meter
        self.counter = TotalCounter(meter, journal.total)
        self._pin = pin
        self._clock = clock
        self._kept_ms = journal.told_ms
        self._journal = journal
        self._ended = ended
        self._pours = 0
        self._last_pulse_ms: int | None = None
        self._wrong_pulses = Condition(log)
        self._wrong_total = Condition(log)

    @property
    def problem(self) -> str | None:
        found = [self._wrong_pulses.text, self._wrong_total.text, self._journal.problem]
        text = "; ".join(filter(None, found))
        return f"pin {self._pin}: {text}" if text else None

    def status(self) -> Mapping[str, object]:
        pour, drips = self.meter.pour, self.meter.drips
        return {
            "pin": self._pin,
            "total": self.counter.last,
            "last_pulse_ms": self._last_pulse_ms,
            "flowing": pour is not None and pour.pulses >= self.meter.rules.minimum,
            "drips": (0 if drips is None else drips.pulses)
            + (0 if pour is None or pour.pulses >= self.meter.rules.minimum else pour.pulses),
            "pours": self._pours,
            "ignored": self.meter.ignored,
        }

    def restart(self, began_ms: int) -> None:
        """The board began anew at ``began_ms``, and this was 0."""
        self._settle(self.counter.board_began(began_ms))

    def runs_since(self, began_ms: int) -> None:
        """The board has not begun anew since ``began_ms``, but after the total that was kept, if that is older.

        Where the board's clock leaves that open, the totals tell: one that is no lower goes on from the one kept.
        """
        earliest_ms = began_ms - (self._clock.monotonic_s() * 1000 - began_ms) * CLOCK_FAULT
        if not self.counter.has_heard and self._kept_ms is not None and self._kept_ms < earliest_ms:
            self.restart(began_ms)

    def take(self, total: int, now_ms: int) -> bool:
        before, flowed = self.counter.last, self.meter.pour is not None
        problem = self.problem
        done = self.counter.take(total, now_ms)
        if before not in (None, total) and total:
            self._last_pulse_ms = self._clock.wall_ms()
        self._settle(done)
        return bool(done) or flowed != (self.meter.pour is not None) or problem != self.problem

    def look(self, now_ms: int) -> bool:
        done = self.meter.look(now_ms)
        if done or self.meter.pour is None:
            self._settle(done)
        return bool(done)

    def stop(self) -> None:
        self._settle(self.meter.close())

    def close(self) -> None:
        done = self.meter.close()
        self._count(done)
        self._journal.close(done, self.counter.last)

    def _settle(self, done: list[Flow]) -> None:
        self._count(done)
        self._journal.keep(self.meter, done, self.counter.last)
        for condition, text in ((self._wrong_pulses, self.meter.problem), (self._wrong_total, self.counter.problem)):
            if text is None:
                condition.end(f"pin {self._pin} counts as it should again")
            else:
                condition.begin(text, f"pin {self._pin}: {text}")

    def _count(self, done: list[Flow]) -> None:
        self._pours += len(done)
        for flow in done:
            self._ended(self._pin, flow)
            log.info("%d pulses in %.1f s on pin %d", flow.pulses, (flow.last_ms - flow.first_ms) / 1000, self._pin)
