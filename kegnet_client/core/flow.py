"""From a meter's pulses to pours: one machine for all producers.

A `Meter` gets pulses and gives back `Flow` values, which are done: each becomes one record. A pour begins with its
first pulse and ends once none came for ``idle_ms``, or after ``longest_ms``. What ends below ``minimum`` pulses is
drips: added up, and one record of their own when a pour begins, at the minimum, after `DRIPS_MS`, and at a close.
Every pulse is in exactly one flow, or in ``ignored``, and no two flows of a meter overlap.

How a producer uses it, per meter::

    meter = Meter(FlowRules(idle_ms=10_000))
    counter = TotalCounter(meter, kept)          # or EdgeCounter(meter): what the hardware tells -> pulses
    done = counter.take(total, now_ms)           # at each total; before it, what the board's hello says of its start:
    counter.board_said_hello()                   # or ``counter.board_began(began_ms)``
    done = meter.look(now_ms)                    # at ``meter.due_ms`` at the latest, after all that was to be read
    done = meter.close()                         # at the producer's end
    dates.pour(pin, flow, now_ms, wall_ms)       # a `Flow` -> the record, by one ``PourDates()`` a meter

``meter.pour`` and ``meter.drips`` are what a journal keeps; `recover` makes flows of them at the next start.
``counter.last`` is the total to keep on disk. ``meter.problem`` and ``counter.problem`` are a line for people.

All times but ``wall_ms`` are milliseconds on one monotonic clock, which nobody sets, so that a wall clock that is set
during a pour does not change its length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kegnet_client.core.records import Pour, make_pour

DRIPS_MS = 3_600_000
"""Drips are recorded after an hour, whatever they came to."""
SET_BACK_MS = 3_600_000
"""A wall clock that was set back by no more than this gives no two pours at one time; by more, it was wrong before."""
MODULUS = 2**32
"""Where the kernel's and a Kegboard's counters begin anew."""
SMALL_TOTAL = 10_000
"""A total that fell to so few pulses (two litres) began anew at zero, even if nobody said so."""
NEW_BOARD_MS = 600_000
"""A board that began no longer ago when it is first heard has told nobody else what it counted, and began at zero."""
CLOCK_FAULT = 0.01
"""A board's resonator is off by half a percent, more where it is warm or old: minutes in a day, of what it says of its
start."""
HELD_UP_MS = 10_000
"""So late may totals be taken: what was told in this time may be taken at once."""
MAX_MISSED = 1_000_000
"""So many pulses (four kegs) a meter may count while no producer listens; more is another meter's total."""


@dataclass(frozen=True, slots=True)
class FlowRules:
    """When a pour ends, and what is none. The defaults are those of a flow meter on a GPIO line."""

    idle_ms: int = 3_000
    longest_ms: int = 300_000
    minimum: int = 54
    """In pulses."""
    max_hz: int = 2_000
    """No flow meter is faster; a loose wire is."""


@dataclass(frozen=True, slots=True)
class Flow:
    """So many pulses, from the first to the last of them."""

    pulses: int
    first_ms: int
    last_ms: int

    def __add__(self, later: "Flow") -> "Flow":
        return Flow(self.pulses + later.pulses, self.first_ms, later.last_ms)


class Meter:
    """Pulses of one meter in, flows that are done out."""

    def __init__(self, rules: FlowRules) -> None:
        self.rules = rules
        self.pour: Flow | None = None
        """What flows now; drips too, until it is known what it becomes."""
        self.drips: Flow | None = None
        """What ended below the minimum and is no record yet."""
        self.last_pulse_ms: int | None = None
        self.ignored = 0
        """How many pulses came too fast to be any."""
        self.problem: str | None = None
        """What is wrong with the pulses, and what to do; until a pour is without it."""
        self._is_clean = True

    @property
    def due_ms(self) -> int | None:
        """When `look` has something to do if no pulse comes before; None when it has not."""
        ends = []
        if self.pour is not None:
            ends += [self.pour.last_ms + self.rules.idle_ms, self.pour.first_ms + self.rules.longest_ms]
        if self.drips is not None:
            ends.append(self.drips.first_ms + DRIPS_MS)
        return min(ends, default=None)

    def add(self, pulses: int, first_ms: int, last_ms: int, since_ms: int | None = None) -> list[Flow]:
        """Take ``pulses`` that came from ``first_ms`` to ``last_ms``, with no pause of ``idle_ms`` among them.

        ``since_ms`` is when they were counted from, where that is not the first of them.
        """
        if self.last_pulse_ms is not None:
            first_ms = max(first_ms, self.last_pulse_ms)
        last_ms = max(first_ms, last_ms)
        done = self.look(first_ms)
        # Times are whole milliseconds; and so many pulses have one interval less between them.
        intervals = pulses - 1 if since_ms is None else pulses
        span_ms = last_ms - (first_ms if since_ms is None else since_ms) + 1
        if intervals * 1000 > self.rules.max_hz * span_ms:
            self._ignore(pulses)
            return done
        batch = Flow(pulses, first_ms, last_ms)
        if self.pour is not None and last_ms - self.pour.first_ms >= self.rules.longest_ms:
            done += self._end_pour(self.pour)
        self.pour = batch if self.pour is None else self.pour + batch
        self.last_pulse_ms = last_ms
        if self.pour.pulses >= self.rules.minimum:
            done += self._end_drips()
        return done

    def look(self, now_ms: int) -> list[Flow]:
        """End what is over by ``now_ms``, up to when all pulses have been added."""
        done: list[Flow] = []
        if self.drips is not None and now_ms - self.drips.first_ms >= DRIPS_MS:
            done += self._end_drips()
        pour = self.pour
        if pour is not None and (
            now_ms - pour.last_ms >= self.rules.idle_ms or now_ms - pour.first_ms >= self.rules.longest_ms
        ):
            done += self._end_pour(pour)
        return done

    def close(self) -> list[Flow]:
        """End everything."""
        done = recover(self.pour, self.drips)
        self.pour = self.drips = None
        return done

    def _end_pour(self, pour: Flow) -> list[Flow]:
        self.pour = None
        if pour.pulses >= self.rules.minimum:
            if self._is_clean:
                self.problem = None
            self._is_clean = True
            return [pour]
        self.drips = pour if self.drips is None else self.drips + pour
        return self._end_drips() if self.drips.pulses >= self.rules.minimum else []

    def _end_drips(self) -> list[Flow]:
        drips, self.drips = self.drips, None
        return [] if drips is None else [drips]

    def _ignore(self, pulses: int) -> None:
        self.ignored += pulses
        self._is_clean = False
        self.problem = (
            f"pulses come faster than {self.rules.max_hz} a second, which no flow meter does, and are not counted: "
            "check its wires, and that they run apart from those of the pump and the compressor"
        )


def recover(pour: Flow | None, drips: Flow | None) -> list[Flow]:
    """What ``pour`` and ``drips`` of a meter end as when no more pulses can be added: one flow at most.

    Where there are both, the pour is below the minimum: it would have ended the drips otherwise.
    """
    if pour is None or drips is None:
        return [flow for flow in (drips, pour) if flow is not None]
    return [drips + pour]


class EdgeCounter:
    """Counts by the line's sequence numbers, which no overflow of the kernel's buffer falsifies."""

    def __init__(self, meter: Meter, now_ms: int) -> None:
        self._meter = meter
        self._sequence = 0
        self._looked_ms = now_ms

    def take(self, edges: Sequence[tuple[int, int]], now_ms: int) -> list[Flow]:
        """Take what was read by ``now_ms``: each edge's time and its sequence number, which is 1 at the first one."""
        done: list[Flow] = []
        for group in _split(edges, self._meter.rules.idle_ms):
            (first_ms, _), (last_ms, sequence) = group[0], group[-1]
            pulses = (sequence - self._sequence) % MODULUS
            self._sequence = sequence
            if pulses == len(group):
                done += self._meter.add(pulses, first_ms, last_ms)
            else:  # the oldest are not among them: they came some time after the last look
                done += self._meter.add(pulses, min(self._looked_ms, first_ms), last_ms)
            self._looked_ms = last_ms
        self._looked_ms = now_ms
        return done


def _split(edges: Sequence[tuple[int, int]], idle_ms: int) -> list[Sequence[tuple[int, int]]]:
    """``edges`` in groups without a pause of ``idle_ms``; there is one when their reader was held up."""
    if not edges:
        return []
    if edges[-1][0] - edges[0][0] < idle_ms:
        return [edges]
    starts = [place for place in range(1, len(edges)) if edges[place][0] - edges[place - 1][0] >= idle_ms]
    return [edges[start:end] for start, end in zip([0, *starts], [*starts, len(edges)], strict=True)]


class TotalCounter:
    """Counts by the totals that a board tells. ``kept`` is the one before this start, None where none is known."""

    def __init__(self, meter: Meter, kept: int | None = None) -> None:
        self.last = kept
        """The total to keep."""
        self.problem: str | None = None
        """What is wrong with the totals; until one is plausible again."""
        self._meter = meter
        self._at_ms: int | None = None
        self._accounted_ms = 0
        """Until when the pulses so far would have come at the most that there may be."""
        self._said_hello = False
        self._fell = False
        """Whether it is known from a total already that the board has begun anew since its last hello."""

    @property
    def has_heard(self) -> bool:
        """Whether any total came since this start."""
        return self._at_ms is not None

    def board_said_hello(self) -> None:
        """A total that is lower than the one before counts from zero; so does a first one, if it is small."""
        self._said_hello = True
        self._fell = False

    def board_began(self, began_ms: int) -> list[Flow]:
        """The board began anew since its last hello, or since the total that was kept: at ``began_ms`` it was 0."""
        fell = self._fell
        self.board_said_hello()
        return [] if fell else self.take(0, began_ms)

    def take(self, total: int, now_ms: int) -> list[Flow]:
        """Take the ``total`` that was told at ``now_ms``.

        The first one of all is a baseline, which counts as pulses only if the board said hello and it is small.
        """
        before, self.last = self.last, total
        at_ms, self._at_ms = self._at_ms, now_ms
        if at_ms is None:
            self._accounted_ms = now_ms - HELD_UP_MS  # it may have been told that much earlier
        said_hello, self._said_hello = self._said_hello, False
        if before is None:
            from_zero = said_hello and 0 < total <= SMALL_TOTAL
            return self._meter.add(total, now_ms, now_ms, now_ms - HELD_UP_MS) if from_zero else []
        pulses = self._difference(before, total, said_hello)
        if at_ms is None:
            return self._missed(before, pulses)
        if pulses is None:
            self._doubt(before)
            return []
        self.problem = None
        if pulses == 0:
            return []
        first_ms = at_ms if now_ms - at_ms < self._meter.rules.idle_ms else now_ms
        # A reader that was held up takes many totals at once, which came one after the other.
        since_ms = max(self._accounted_ms, at_ms - HELD_UP_MS)
        self._accounted_ms = since_ms + pulses * 1000 // self._meter.rules.max_hz
        return self._meter.add(pulses, first_ms, now_ms, since_ms)

    def _difference(self, before: int, total: int, said_hello: bool) -> int | None:
        """How many pulses came; None when that cannot be known."""
        if total >= before:
            return total - before
        if not said_hello and (wrapped := (total - before) % MODULUS) <= MAX_MISSED:
            return wrapped
        self._fell = said_hello or total <= SMALL_TOTAL
        return total if self._fell else None

    def _missed(self, before: int, pulses: int | None) -> list[Flow]:
        """What flowed while no producer listened: it is over, and nobody knows when it was."""
        if pulses is None or pulses > MAX_MISSED:
            self._doubt(before)
            return []
        if pulses == 0 or self._at_ms is None:
            return []
        done = self._meter.look(self._at_ms)
        missed = Flow(pulses, self._at_ms, self._at_ms)
        if pulses >= self._meter.rules.minimum:
            return [*done, missed]
        self._meter.drips = missed if self._meter.drips is None else self._meter.drips + missed
        return done

    def _doubt(self, before: int) -> None:
        self.problem = (
            f"its total went from {before} to {self.last}, which no meter does: nothing is counted for it; "
            "see whether two boards have one name"
        )


class PourDates:
    """Unix times for the flows of one meter, in the order in which they ended."""

    def __init__(self) -> None:
        self._end_ms = -SET_BACK_MS

    def pour(self, pin: int, flow: Flow, now_ms: int, wall_ms: int) -> Pour:
        """The record of ``flow`` when it is ``now_ms`` and, on the wall, ``wall_ms``; `RecordError` says if it is none.

        It begins after the one before ended, also where the wall clock was set back or slowed down between them.
        """
        started_ms = wall_ms - (now_ms - flow.first_ms)
        if 0 <= self._end_ms - started_ms < SET_BACK_MS:
            started_ms = self._end_ms + 1
        elapsed_ms = flow.last_ms - flow.first_ms
        pour = make_pour(pin, flow.pulses, elapsed_ms, started_ms)
        self._end_ms = started_ms + elapsed_ms
        return pour
