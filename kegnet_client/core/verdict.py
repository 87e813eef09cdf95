"""What sending a record came to, in the words of no protocol: each sink turns its answers into these."""

from dataclasses import dataclass
from enum import Enum


class Disposition(Enum):
    """What becomes of a record."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REJECTED = "rejected"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one record. ``reason`` is for people and, where that is possible, says what to do.

    ``others_go_on`` marks a deferral that says nothing of the sink: this record alone waits, for ``retry_after_s``.
    ``code`` is what the sink's protocol calls the answer, for the log: nothing is decided by it.
    ``record_may_be_the_cause`` marks a failure that another record might not meet. ``refused`` says that the server
    does not take this device, or did not prove to be the server.
    """

    disposition: Disposition
    reason: str
    code: int | None = None
    retry_after_s: float | None = None
    record_may_be_the_cause: bool = False
    refused: bool = False
    others_go_on: bool = False
