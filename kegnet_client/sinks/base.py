"""What a sink is: a place where records go.

A sink says what came of each record, in the words of `Verdict`, and decides nothing: what is removed, kept or tried
again is the delivery's. Each record is settled by its own verdict. Protocols, addresses and the settings to fix are
known to the sink alone, so whatever a person should do stands in the reasons that it gives and in `Sink.advice`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Verdict

Meanwhile = Callable[[], object]


def nothing() -> None:
    """There is nothing to do meanwhile."""


class Sink(Protocol):
    """One connection to where records go. Used by one thread at a time; `abort` may come from any."""

    max_records: int
    """How many records `send` takes at once."""
    max_connections: int
    """How many of these are of use at the same time."""
    advice: str
    """What to check when every record is rejected, such as "check the address"."""

    def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
        """A verdict on each of ``records``, in their order; no two of them are equal.

        Where the exchange itself failed every verdict is the same object. ``meanwhile`` is called once, whatever
        happens: best while there is nothing to do but wait for an answer.
        """

    def abort(self) -> None:
        """End the exchange that is under way, as a broken connection would, and let none begin any more."""

    def close(self) -> None:
        """Close the connection; it is not used any more."""


OpenSink = Callable[[], Sink]
"""Makes one more connection; it connects when it first sends."""
