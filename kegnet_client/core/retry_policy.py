"""The state of the way to the server, and which records step aside: a machine without a clock of its own.

Every exchange ends here with a `Verdict` for each record; what comes out is what to do with the record (`Action`)
and when to try again. Several exchanges may be under way at once. The rules, in their order:

- An acceptance proves the link and ends every doubt.
- A failure of the link (no route, reset, timeout, an explicit "later") makes everybody wait; a record that
  meets `MAX_FAILURES` of them in a row lets another one try.
- A 5xx may be the record's own: it steps aside, and only when another record fails too does the link wait.
- A rejection is the record's own, until `MAX_REJECTIONS` came in a row without one acceptance: then it is the
  server, and the rest stays in the spool. An accepted heartbeat is no acceptance here: a server may take those
  and none of the records.
- A wait that a sink wants for one record alone says nothing of the others, nor of the link.
- A misconfiguration keeps everything; one try each `MISCONFIGURED_RETRY_S`, in turn.

A record that stands aside has a backoff of its own, so that one bad record neither blocks nor hammers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from kegnet_client.core.verdict import Disposition, Verdict

FIRST_CEILING_S = 1.0
MAX_CEILING_S = 300.0
MISCONFIGURED_RETRY_S = 300.0
MAX_REJECTIONS = 10
MAX_FAILURES = 3
HEARTBEAT = "heartbeat"
"""The name of a heartbeat, which has no file; no record is called so."""


class LinkState(Enum):
    """What is known of the way to the server."""

    UNTRIED = "not tried yet"
    UP = "up"
    DEFERRED = "waiting"
    MISCONFIGURED = "misconfigured"


class Action(Enum):
    """What to do with the record that was sent."""

    REMOVE = "remove"
    REJECT = "reject"
    KEEP = "keep"
    STEP_ASIDE = "step aside"
    QUEUE_LAST = "queue last"


@dataclass(frozen=True, slots=True)
class Decision:
    """``until_s`` is for `Action.STEP_ASIDE`: when the record may have its next try."""

    action: Action
    until_s: float = 0.0


class Backoff:
    """The growing wait of something that keeps failing. ``random`` gives a float in [0, 1)."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._ceiling_s = FIRST_CEILING_S

    def next_s(self, retry_after_s: float | None = None) -> float:
        """How long to wait now: the jitter goes on top of what the server asked for."""
        wait_s = self._random() * self._ceiling_s
        self._ceiling_s = min(self._ceiling_s * 2, MAX_CEILING_S)
        return wait_s + (retry_after_s or 0.0)


class RetryPolicy:
    """All times are seconds on one monotonic clock; ``random`` gives a float in [0, 1). ``advice`` is what to check
    where every record is rejected."""

    def __init__(self, random: Callable[[], float], advice: str) -> None:
        self._random = random
        self._advice = advice
        self.max_aside = 1
        """How many records in a row may earn a 5xx before everybody waits for it."""
        self.state = LinkState.UNTRIED
        self.reason = ""
        self.retry_at_s = 0.0
        self._backoff = Backoff(random)
        self._suspect: str | None = None
        self._aside_in_a_row = 0
        self._failures = 0
        self._rejections = 0
        self._aside: dict[str, Backoff] = {}

    def ready(self, now_s: float) -> bool:
        """Whether anything may be sent now."""
        return now_s >= self.retry_at_s

    def stands_aside(self, name: str) -> bool:
        """Whether the record ``name`` failed where another might not."""
        return name in self._aside

    def forget(self, name: str) -> None:
        """The record ``name`` is gone from the spool."""
        self._aside.pop(name, None)

    def retry_now(self) -> None:
        """Something changed (a reload, a clock that was set): the next record may go at once."""
        self.retry_at_s = 0.0
        self._backoff = Backoff(self._random)

    def settle(self, name: str, verdict: Verdict, now_s: float, *, beside_an_acceptance: bool = False) -> Decision:
        """What to do with the record ``name`` after ``verdict``.

        ``beside_an_acceptance`` says that the same answer accepted another record, which speaks for the server.
        """
        failures, self._failures = self._failures, 0  # only failures of the link, one after the other, add up
        match verdict.disposition:
            case Disposition.ACCEPTED:
                if name != HEARTBEAT:
                    self._rejections = 0
                self._up()
                self.forget(name)
                return Decision(Action.REMOVE)
            case Disposition.REJECTED if beside_an_acceptance:
                self.forget(name)
                return Decision(Action.REJECT)
            case Disposition.REJECTED if self._rejections < MAX_REJECTIONS:
                self._rejections += 1
                self.forget(name)
                if self._rejections == MAX_REJECTIONS:
                    self._distrust(verdict, now_s)
                else:
                    self._up()
                return Decision(Action.REJECT)
            case Disposition.REJECTED:
                self._distrust(verdict, now_s)
                return Decision(Action.QUEUE_LAST)
            case Disposition.MISCONFIGURED if beside_an_acceptance:
                self._aside.setdefault(name, Backoff(self._random))
                return Decision(Action.STEP_ASIDE, now_s + MISCONFIGURED_RETRY_S)
            case Disposition.MISCONFIGURED:
                self._misconfigured(verdict.reason, now_s)
                return Decision(Action.QUEUE_LAST)
            case Disposition.DEFERRED if verdict.others_go_on:
                self._failures = failures
                self._aside.setdefault(name, Backoff(self._random))
                return Decision(Action.STEP_ASIDE, now_s + (verdict.retry_after_s or 0.0))
            case Disposition.DEFERRED if verdict.record_may_be_the_cause and beside_an_acceptance:
                return self._step_aside(name, now_s)
            case Disposition.DEFERRED if verdict.record_may_be_the_cause:
                self._aside_in_a_row += 1
                if self._suspect == name or self._aside_in_a_row > self.max_aside:
                    self._deferred(verdict, now_s, everybody=self._suspect != name)
                self._suspect = name
                return self._step_aside(name, now_s)
            case Disposition.DEFERRED:  # pragma: no branch (mypy sees that there is no other)
                failures = failures + 1 if self._suspect == name else 1
                self._suspect = name
                self._aside_in_a_row = self.max_aside
                self._deferred(verdict, now_s, everybody=True)
                if failures == MAX_FAILURES:
                    return self._step_aside(name, now_s)
                self._failures = failures
                return Decision(Action.KEEP)

    def _up(self) -> None:
        self.state = LinkState.UP
        self.reason = ""
        self.retry_at_s = 0.0
        self._suspect = None
        self._aside_in_a_row = 0
        self._backoff = Backoff(self._random)

    def _deferred(self, verdict: Verdict, now_s: float, *, everybody: bool) -> None:
        if not self.ready(now_s):
            # It was under way when everybody began to wait: the same outage, which is not longer for that.
            self.retry_at_s = max(self.retry_at_s, now_s + (verdict.retry_after_s or 0.0))
            return
        self.state = LinkState.DEFERRED
        self.reason = verdict.reason
        if everybody:
            self.retry_at_s = now_s + self._backoff.next_s(verdict.retry_after_s)

    def _distrust(self, verdict: Verdict, now_s: float) -> None:
        self._misconfigured(
            f"the server rejected {MAX_REJECTIONS} records in a row, so the fault is hardly in the records: "
            f"{self._advice}, then 'kegnet-client rejected retry'; last, {verdict.reason}",
            now_s,
        )

    def _misconfigured(self, reason: str, now_s: float) -> None:
        self.state = LinkState.MISCONFIGURED
        self.reason = reason
        self.retry_at_s = now_s + MISCONFIGURED_RETRY_S

    def _step_aside(self, name: str, now_s: float) -> Decision:
        backoff = self._aside.setdefault(name, Backoff(self._random))
        return Decision(Action.STEP_ASIDE, now_s + backoff.next_s())
