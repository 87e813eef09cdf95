"""Whatever happens in whatever order: every valid record ends as exactly one at the server, or stands in the spool, or
in ``rejected/`` with its reason; nothing else is touched."""

import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kegnet_client.core.records import Heartbeat, Record, parse, time_ms
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.spool.directory import Spool
from kegnet_client.spool.rejected import list_rejected, retry
from kegnet_client.spool.scan import Scanner

from ..support.clock import FakeClock
from ..support.sink import MemorySink

NOW_MS = 1_800_000_000_000

ACCEPTED = Verdict(Disposition.ACCEPTED, "the server answered 200", 200)
NO_ROUTE = Verdict(Disposition.DEFERRED, "no route")
BROKEN = Verdict(Disposition.DEFERRED, "the server answered 500", 500, record_may_be_the_cause=True)
TOO_LARGE = Verdict(Disposition.DEFERRED, "the server answered 413", 413, record_may_be_the_cause=True)
WHOLE = {
    "answer lost": NO_ROUTE,
    "away": NO_ROUTE,
    "broken": BROKEN,
    "later": Verdict(Disposition.DEFERRED, "the server answered 429", 429, retry_after_s=30.0),
    "forbids": Verdict(Disposition.MISCONFIGURED, "the server answered 403: register", 403),
}
"""What can be said of a request as a whole, whatever is in it."""

Mood = str | frozenset[int]
"""What a server does with one request: a word, or the places in it of the records that it rejects."""
LASTING = st.sampled_from([*WHOLE, "too large", frozenset(range(7))])
CHANGING = st.lists(LASTING | st.frozensets(st.integers(0, 6)), max_size=6)
ENOUGH = 500
"""More requests than any drain here takes."""


def rejection(record: Record | Heartbeat) -> Verdict:
    return Verdict(Disposition.REJECTED, f"the server says: not that of {time_ms(record)}", 200)


class Server:
    """Stores one identity once; a request that holds ``poison`` always fails."""

    def __init__(self) -> None:
        self.stored: set[Record | Heartbeat] = set()
        self.unsaid: set[Record | Heartbeat] = set()
        """Of what is stored, that which the client may not know of."""
        self.poison: Record | None = None

    def take(self, records: Sequence[Record | Heartbeat], mood: Mood) -> list[Verdict]:
        if self.poison in records:
            return [BROKEN] * len(records)
        if mood == "too large":
            return [TOO_LARGE] * len(records) if len(records) > 1 else [rejection(records[0])]
        if isinstance(mood, str):
            if mood == "answer lost":
                self.unsaid |= {*records} - self.stored
                self.stored |= {*records}
            return [WHOLE[mood]] * len(records)
        verdicts = [rejection(one) if index in mood else ACCEPTED for index, one in enumerate(records)]
        taken = {one for one, verdict in zip(records, verdicts, strict=True) if verdict is ACCEPTED}
        assert taken & self.stored <= self.unsaid, "sent again without a need"
        self.unsaid -= taken
        self.stored |= taken
        return verdicts


class Schedule(RuleBasedStateMachine):
    """Producers, other people's files, a server with moods, a person who retries, and one drain after the other."""

    max_records: int

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.spool = Spool(self.directory)
        self.spool.lock()
        self.clock = FakeClock(NOW_MS)
        self.server = Server()
        self.produced: dict[bytes, Record] = {}
        self.malformed: set[bytes] = set()
        self.foreign: dict[str, bytes] = {}
        self.numbers = itertools.count(1)

    @rule(number=st.integers(1, 9), kind=st.sampled_from(["pour", "reading"]), newline=st.booleans())
    def produce(self, number: int, kind: str, newline: bool) -> None:
        for _ in range(number):
            self.put_record(kind, b"\n" * newline)

    @precondition(lambda self: self.server.poison is None)
    @rule()
    def produce_what_breaks_the_server(self) -> None:
        self.server.poison = self.put_record("pour", b"\n")

    @rule(name=st.sampled_from(["a.pour", "b.pour", "c.reading"]))
    def produce_nonsense(self, name: str) -> None:
        if not self.spool.has(name):
            data = b"nonsense %d" % next(self.numbers)
            self.malformed.add(data)
            self.put(name, data)

    @rule(name=st.sampled_from(["README", ".x.pour", "x.pour.tmp", "x.txt"]))
    def leave_something_else(self, name: str) -> None:
        self.foreign[name] = b"foreign %d" % next(self.numbers)
        self.put(name, self.foreign[name])

    @rule(number=st.integers(11, 20), mood=LASTING)
    def drain_a_backlog_in_one_mood(self, number: int, mood: Mood) -> None:
        """For what takes several requests in a row, such as ten rejections."""
        self.produce(number, "pour", newline=True)
        self.drain([mood] * ENOUGH)

    @rule(moods=CHANGING)
    def drain(self, moods: list[Mood]) -> None:
        self.clock.now_s += 60  # what has no newline has settled by then
        mood = itertools.chain(moods, itertools.repeat(frozenset(), ENOUGH))
        Uploader(
            self.spool,
            lambda: MemorySink(lambda records: self.server.take(records, next(mood)), self.max_records),
            self.clock,
            lambda: 0.5,
            Progress(),
        ).drain()

    @precondition(lambda self: bool(list_rejected(self.directory)))
    @rule(choice=st.integers(min_value=0))
    def put_back(self, choice: int) -> None:
        rejected = list_rejected(self.directory)
        retry(self.directory, rejected[choice % len(rejected)].name)

    @invariant()
    def nothing_is_lost_and_nothing_is_touched(self) -> None:
        waiting, rejected = self.waiting(), self.rejected()
        standing = Counter([*waiting, *rejected])
        for data, record in self.produced.items():
            there = standing.pop(data, 0)
            stored = record in self.server.stored
            assert there + stored == 1 or (there == 1 and record in self.server.unsaid), data
            if data in rejected:
                assert rejected[data].endswith(rejection(record).reason), "with the reason of another"
        assert standing == Counter(self.malformed)
        assert "no reason is kept" not in rejected.values()
        assert all((self.directory / name).read_bytes() == data for name, data in self.foreign.items())

    def teardown(self) -> None:
        for one in list_rejected(self.directory):
            if (self.directory / "rejected" / one.name).read_bytes().rstrip(b"\n") in self.produced:
                retry(self.directory, one.name)
        self.drain([])
        poison = {self.server.poison} - {None}
        assert self.server.stored == {*self.produced.values()} - poison
        assert {self.produced[data] for data in self.waiting()} == poison
        assert self.rejected().keys() == self.malformed
        self.spool.close()
        shutil.rmtree(self.directory)

    def put_record(self, kind: str, end: bytes) -> Record:
        number = next(self.numbers)
        values = (b"28-0316a2795c5b,%d,%d" if kind == "reading" else b"0,%d,0,%d") % (number, NOW_MS + number)
        self.put(f"{number}.{kind}", values + end)
        self.produced[values] = parse(f"{number}.{kind}", values)
        return self.produced[values]

    def put(self, name: str, data: bytes) -> None:
        (self.directory / ".temp").write_bytes(data)
        (self.directory / ".temp").rename(self.directory / name)

    def waiting(self) -> list[bytes]:
        """What stands in the spool."""
        names = Scanner(self.spool.fd, 10_000).finish().oldest
        return [self.spool.read(name).data.rstrip(b"\n") for name in names]

    def rejected(self) -> dict[bytes, str]:
        """What stands in ``rejected/``, with its reasons."""
        kept = list_rejected(self.directory)
        contents = [(self.directory / "rejected" / one.name).read_bytes().rstrip(b"\n") for one in kept]
        assert len(set(contents)) == len(contents), "rejected twice"
        return dict(zip(contents, (one.reason for one in kept), strict=True))


class OneByOne(Schedule):
    """As REST v1 and v2 have it."""

    max_records = 1


class InBatches(Schedule):
    """As REST v3 has it, with fewer at once, so that there is often more than one request."""

    max_records = 7


TestOneByOne = OneByOne.TestCase
TestInBatches = InBatches.TestCase
EXAMPLES = settings().max_examples * 2 // 5
TestOneByOne.settings = TestInBatches.settings = settings(max_examples=EXAMPLES, stateful_step_count=15)
