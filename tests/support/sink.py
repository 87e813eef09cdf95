"""The sink of the tests that need no network."""

import threading
from collections.abc import Callable, Sequence

from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.sinks.base import Meanwhile, nothing

ACCEPTED = Verdict(Disposition.ACCEPTED, "the server answered 200", 200)

Judge = Callable[[Sequence[Record | Heartbeat]], list[Verdict]]


def accept(records: Sequence[Record | Heartbeat]) -> list[Verdict]:
    return [ACCEPTED] * len(records)


class MemorySink:
    """Answers what ``judge`` says, in the thread that sends; ``on_close`` is told of its end.

    It holds the delivery to what a sink is promised: never nothing, never too much, no two records that are equal.
    """

    advice = "check the address"

    def __init__(
        self,
        judge: Judge = accept,
        max_records: int = 1,
        max_connections: int = 1,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.max_records = max_records
        self.max_connections = max_connections
        self.asked = threading.Event()
        self.aborted = threading.Event()
        self.closed = 0
        self._judge = judge
        self._on_close = on_close

    def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
        assert 0 < len(records) <= self.max_records
        assert len(set(records)) == len(records)
        self.asked.set()
        meanwhile()
        return self._judge(records)

    def abort(self) -> None:
        self.aborted.set()

    def close(self) -> None:
        self.closed += 1
        self._on_close()
