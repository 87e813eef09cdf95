"""A server that does what a test says with requests of many records, and what its tests do to a spool."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence

from kegnet_client.core.records import Heartbeat, Pour, Record, format_record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.spool.directory import Spool
from kegnet_client.spool.rejected import list_rejected
from kegnet_client.spool.scan import Scanner

from ...support.sink import MemorySink
from ...support.waits import WAIT_S

NOW_MS = 1_800_000_000_000

ACCEPTED = Verdict(Disposition.ACCEPTED, "the server answered 200", 200)
REJECTED = Verdict(Disposition.REJECTED, "the server says: no", 200)
NO_ROUTE = Verdict(Disposition.DEFERRED, "no route")
BROKEN = Verdict(Disposition.DEFERRED, "the server answered 500", 500, record_may_be_the_cause=True)
FORBIDDEN = Verdict(Disposition.MISCONFIGURED, "the server answered 403: register", 403)

Behaviour = Callable[[list[int]], Verdict | list[Verdict]]
"""What a request with pours of so many pulses is answered: a verdict for each, or one for the whole of it."""


class Server:
    """Makes connections that carry ``max_records`` in a request, and remembers what came over them."""

    def __init__(self, behave: Behaviour, max_records: int = 500, max_connections: int = 1) -> None:
        self.behave = behave
        self.max_records = max_records
        self.max_connections = max_connections
        self.requests: list[list[int]] = []
        self.accepted: Counter[int] = Counter()
        self.opened = 0
        self.closed = 0
        self.changed = threading.Condition()

    def connect(self) -> MemorySink:
        with self.changed:
            self.opened += 1
        return MemorySink(self.take, self.max_records, self.max_connections, self._count_closed)

    def take(self, records: Sequence[Record | Heartbeat]) -> list[Verdict]:
        pulses = [record.pulses for record in records if isinstance(record, Pour)]
        with self.changed:
            self.requests.append(pulses)
            self.changed.notify_all()
        answer = self.behave(pulses)
        verdicts = answer if isinstance(answer, list) else [answer] * len(records)
        with self.changed:
            self.accepted.update(
                number for number, verdict in zip(pulses, verdicts, strict=False) if verdict is ACCEPTED
            )
            self.changed.notify_all()
        return verdicts

    def _count_closed(self) -> None:
        with self.changed:
            self.closed += 1
            self.changed.notify_all()

    def wait_for(self, what: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(what, WAIT_S), (self.requests, self.accepted)

    def sizes(self) -> list[int]:
        return [len(request) for request in self.requests]


Run = Callable[[Server], Uploader]


class RoundTrip:
    """A server with a round trip between: every exchange takes as long, however many there are at once."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, _pulses: list[int]) -> Verdict:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        threading.Event().wait(0.03)
        with self._lock:
            self._now -= 1
        return ACCEPTED


def accept(_pulses: list[int]) -> Verdict:
    return ACCEPTED


def put(spool: Spool, *numbers: int) -> None:
    for number in numbers:
        temp = spool.path / f".{number}.tmp"
        temp.write_bytes(format_record(Pour(0, number, 1000, NOW_MS + number)))
        temp.rename(spool.path / f"{number}.pour")


def drain(spool: Spool, server: Server) -> Progress:
    progress = Progress()
    Uploader(spool, server.connect, Clock(), lambda: 0.5, progress).drain()
    return progress


def waiting(spool: Spool) -> set[int]:
    return {int(name.removesuffix(".pour")) for name in Scanner(spool.fd, 10_000).finish().oldest}


def waiting_names(spool: Spool) -> list[str]:
    return Scanner(spool.fd, 10_000).finish().oldest


def rejected(spool: Spool) -> set[int]:
    return {int(one.name.removesuffix(".pour")) for one in list_rejected(spool.path)}
