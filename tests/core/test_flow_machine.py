"""Whatever the timing, the restarts and the clocks: each pulse is in one record, and no two records overlap."""

from bisect import bisect_left, bisect_right
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kegnet_client.core.flow import (
    MODULUS,
    SET_BACK_MS,
    EdgeCounter,
    Flow,
    FlowRules,
    Meter,
    PourDates,
    TotalCounter,
    recover,
)
from kegnet_client.core.records import Pour

RULES = FlowRules(idle_ms=3000, longest_ms=20_000, minimum=10, max_hz=2000)
START_MS = 1_767_268_800_000
PAUSES_MS = st.one_of(
    st.integers(1, 5000), st.sampled_from([2999, 3000, 3001, 19_999, 20_000, 60_000, 3_599_000, 3_600_000])
)


class World(RuleBasedStateMachine):
    """A meter, its producer that may end at any time, and a wall clock that somebody sets.

    ``true_ms`` is the time that really goes by; a restart of the machine gives it another zero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.true_ms = 0
        self.booted_ms = 0
        self.wall_offset_ms = START_MS
        self.set_back_ms = 0
        self.flows: list[Flow] = []
        self.pours: list[Pour] = []
        self.meter = Meter(RULES)
        self.dates = PourDates()

    @property
    def now_ms(self) -> int:
        return self.true_ms - self.booted_ms

    def take(self, done: list[Flow], booted_ms: int | None = None) -> None:
        zero_ms = self.booted_ms if booted_ms is None else booted_ms
        self.flows += [Flow(flow.pulses, flow.first_ms + zero_ms, flow.last_ms + zero_ms) for flow in done]
        wall_ms = self.true_ms + self.wall_offset_ms
        self.pours += [self.dates.pour(3, flow, self.true_ms - zero_ms, wall_ms) for flow in done]

    @rule(pause_ms=PAUSES_MS)
    def wait(self, pause_ms: int) -> None:
        """Time goes by, and the producer looks whenever it has to."""
        end_ms = self.true_ms + pause_ms
        while (due_ms := self.meter.due_ms) is not None and due_ms <= end_ms - self.booted_ms:
            self.true_ms = max(self.true_ms, due_ms + self.booted_ms)
            self.take(self.meter.look(self.now_ms))
        self.true_ms = end_ms

    @rule(pause_ms=PAUSES_MS)
    def be_held_up(self, pause_ms: int) -> None:
        """Time goes by, and the producer does nothing."""
        self.true_ms += pause_ms

    @rule(step_ms=st.integers(-SET_BACK_MS // 2, 10**10))
    def set_the_clock(self, step_ms: int) -> None:
        """By as much as you like, and back by less than an hour in all."""
        if step_ms > 0 or self.set_back_ms - step_ms < SET_BACK_MS:
            self.wall_offset_ms += step_ms
            self.set_back_ms += max(0, -step_ms)

    def restart_with(self, reboot: bool) -> None:
        """The producer ends and begins again with what the journal kept."""
        self.take(recover(self.meter.pour, self.meter.drips))
        if reboot:
            self.booted_ms = self.true_ms
        self.meter = Meter(RULES)

    @invariant()
    def no_record_overlaps_another(self) -> None:
        assert all(before.last_ms <= after.first_ms for before, after in pairwise(self.flows))
        spans = [(pour.started_ms, pour.started_ms + pour.elapsed_ms) for pour in self.pours]
        assert all(end < start for (_, end), (start, _) in pairwise(spans))

    @invariant()
    def every_record_has_its_flow_s_pulses_and_length(self) -> None:
        kept = [(flow.pulses, flow.last_ms - flow.first_ms) for flow in self.flows]
        assert [(pour.pulses, pour.elapsed_ms) for pour in self.pours] == kept

    def open_pulses(self) -> int:
        return sum(flow.pulses for flow in (self.meter.pour, self.meter.drips) if flow is not None)


class EdgeMachine(World):
    """A meter on a GPIO line."""

    def __init__(self) -> None:
        super().__init__()
        self.pulses_ms: list[int] = []
        self.counter = EdgeCounter(self.meter, 0)
        self.sequence = 0
        self.unread: list[tuple[int, int]] = []

    @rule(pulses=st.integers(1, 40), apart_ms=st.one_of(st.integers(1, 200), st.integers(1, 3100)), read=st.booleans())
    def flow(self, pulses: int, apart_ms: int, read: bool) -> None:
        """Pulses come; the producer may be too busy to read them now."""
        for _ in range(pulses):
            self.true_ms += apart_ms
            self.sequence += 1
            self.pulses_ms.append(self.true_ms)
            self.unread.append((self.now_ms, self.sequence))
        if read:
            self.read()

    @rule()
    def read(self) -> None:
        """The producer reads what waits for it."""
        edges, self.unread = self.unread, []
        self.take(self.counter.take(edges, self.now_ms))

    @rule(pause_ms=PAUSES_MS)
    def wait(self, pause_ms: int) -> None:
        self.read()
        super().wait(pause_ms)

    @rule(reboot=st.booleans())
    def restart(self, reboot: bool) -> None:
        """What the kernel has not been asked for is lost with the line."""
        self.read()
        self.restart_with(reboot)
        self.counter = EdgeCounter(self.meter, self.now_ms)
        self.sequence = 0

    @invariant()
    def every_pulse_is_in_one_record(self) -> None:
        recorded = sum(flow.pulses for flow in self.flows)
        assert recorded + self.open_pulses() + len(self.unread) == len(self.pulses_ms)
        assert self.meter.ignored == 0

    @invariant()
    def a_record_has_the_pulses_of_its_time_and_ends_with_them(self) -> None:
        for flow in self.flows:
            begin, end = bisect_left(self.pulses_ms, flow.first_ms), bisect_right(self.pulses_ms, flow.last_ms)
            assert end - begin == flow.pulses
            assert (self.pulses_ms[begin], self.pulses_ms[end - 1]) == (flow.first_ms, flow.last_ms)


class TotalMachine(World):
    """A meter on a board that tells totals, may lose its power, and goes on counting while no producer runs."""

    @initialize(
        board=st.sampled_from(["runs for long", "has just begun", "does not say when it began"]),
        total=st.sampled_from([0, 5, 70_000, MODULUS - 20, MODULUS - 1]),
        pulses=st.integers(0, 60),
        ago_ms=st.integers(100, 600_000),
    )
    def begin(self, board: str, total: int, pulses: int, ago_ms: int) -> None:
        """What a board counted before it was ever heard is another's, unless it has just begun, or may have."""
        self.counter = TotalCounter(self.meter)
        self.true_ms = ago_ms
        self.total = total if board == "runs for long" else pulses
        self.pulses = self.unseen = 0 if board == "runs for long" else pulses
        if board == "has just begun":
            self.take(self.counter.board_began(0))
        elif board == "does not say when it began":
            self.counter.board_said_hello()
        self.tell()

    @rule(pulses=st.integers(0, 60), after_ms=st.integers(60, 12_000), told=st.booleans())
    def count(self, pulses: int, after_ms: int, told: bool) -> None:
        """The board counts, and may tell so at once."""
        self.true_ms += after_ms
        self.total = (self.total + pulses) % MODULUS
        self.pulses += pulses
        self.unseen += pulses
        if told:
            self.tell()

    @rule(pulses=st.lists(st.integers(0, 60), min_size=1, max_size=5))
    def be_held_up_while_it_tells(self, pulses: list[int]) -> None:
        """The board tells its total twice a second, and the producer hears all of it at last."""
        told = []
        for number in pulses:
            self.true_ms += 500
            self.total = (self.total + number) % MODULUS
            told.append(self.total)
        self.pulses += sum(pulses)
        for total in told:
            self.take(self.counter.take(total, self.now_ms))
        self.unseen = 0

    @rule(hellos=st.integers(0, 3))
    def tell(self, hellos: int = 0) -> None:
        """The board tells its total, and before that its name as often as it likes, but not as it passes 2^32."""
        if self.counter.last is None or self.total >= self.counter.last or self.total == 0 == self.unseen:
            for _ in range(hellos):
                self.counter.board_said_hello()
        self.take(self.counter.take(self.total, self.now_ms))
        self.unseen = 0

    @rule()
    def lose_power(self) -> None:
        """What the board had not told is lost with its total; it says hello when it is back."""
        self.tell()
        self.total = 0
        self.true_ms += 100
        self.tell(hellos=1)

    @rule(pulses=st.integers(0, 60), more=st.integers(0, 60))
    def lose_power_and_the_first_hello(self, pulses: int, more: int) -> None:
        """The board begins anew, its totals fall, and its next hello, long after, says when it began."""
        self.tell()
        if self.counter.last is None or not pulses < self.counter.last < MODULUS // 2:
            return
        began_ms, self.total = self.true_ms - self.booted_ms, 0
        self.count(pulses, 1000, told=True)
        self.true_ms += 9000
        self.take(self.counter.board_began(began_ms))
        self.count(more, 1000, told=True)

    @rule(reboot=st.booleans(), pulses=st.integers(0, 5000))
    def restart_with_another_board(self, reboot: bool, pulses: int) -> None:
        """While the producer is down, the board begins anew, and counts to more or less than it had; it says so."""
        self.tell()
        self.restart_with(reboot)
        self.counter = TotalCounter(self.meter, self.counter.last)
        self.total = 0
        self.true_ms += 5000
        self.take(self.counter.board_began(self.now_ms - 4900))
        self.count(pulses, 100, told=True)

    @rule(reboot=st.booleans(), pulses=st.integers(0, 60))
    def restart(self, reboot: bool, pulses: int) -> None:
        """The board goes on while the producer is down."""
        self.restart_with(reboot)
        self.counter = TotalCounter(self.meter, self.counter.last)
        self.count(pulses, 1000, told=True)

    @invariant()
    def every_pulse_is_in_one_record(self) -> None:
        recorded = sum(flow.pulses for flow in self.flows)
        assert recorded + self.open_pulses() + self.unseen == self.pulses
        assert self.meter.ignored == 0


def machine(kind: type[World]) -> type:
    """The machine as a test."""
    kind.TestCase.settings = settings(max_examples=settings().max_examples, stateful_step_count=40)
    return kind.TestCase


TestEdges = machine(EdgeMachine)
TestTotals = machine(TotalMachine)
