"""What becomes of records after an answer, and what is said about it.

The one place where a verdict turns into a removal, a rejection or another wait. It logs a line for each record that is
delivered or rejected (for a backlog one for a whole request) and one for a change of the link, none for a retry.
"""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kegnet_client.core.concurrency import AdaptiveConcurrency
from kegnet_client.core.delivery_queue import DeliveryQueue, QueueEntry
from kegnet_client.core.records import Record
from kegnet_client.core.retry_policy import HEARTBEAT, MISCONFIGURED_RETRY_S, Action, Decision, LinkState, RetryPolicy
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.delivery.progress import Progress
from kegnet_client.host.clock import Clock
from kegnet_client.host.log import MISCONFIGURED_ID
from kegnet_client.spool.directory import SpoolFile, printable
from kegnet_client.spool.removal import SpoolRemoval

log = logging.getLogger(__name__)

MAX_NAMED = 10
"""A request of more records than this has one line in the log."""

_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class PendingRecord:
    """A record ready to be sent, the file that it is in, and the turn that it came by."""

    entry: QueueEntry
    file: SpoolFile
    record: Record


class Outcome:
    """Everything is used under one lock. With ``each_once`` what was tried and stays is not tried again."""

    def __init__(
        self,
        removal: SpoolRemoval,
        queue: DeliveryQueue,
        policy: RetryPolicy,
        concurrency: AdaptiveConcurrency,
        progress: Progress,
        clock: Clock,
        max_records: int,
    ) -> None:
        self.each_once = False
        self.silent = False
        """Set while stopping: what fails for that is nobody's news."""
        self.batch = max_records
        """How many records the next request may carry: fewer after a request that failed for their number or for
        one of them, and more again with every good answer."""
        self.suspects: set[str] = set()
        """The names in such a request, until each is done with or has failed alone."""
        self._removal = removal
        self._queue = queue
        self._policy = policy
        self._concurrency = concurrency
        self._progress = progress
        self._clock = clock
        self._max_records = max_records
        self._heartbeat_refused = False
        self._told: int | str | None = None
        """What was last said to be mended: the status, or what is wrong with the certificate."""

    def retry_now(self) -> None:
        """Something changed that may have been all that was in the way; what is there after it, is news."""
        self._policy.retry_now()
        self._told = None

    def is_decided(self, file: SpoolFile) -> bool:
        """Whether ``file`` stands in the spool only because it could not be taken out."""
        return self._removal.is_decided(file)

    def settle(self, taken: Sequence[PendingRecord], verdicts: Sequence[Verdict], elapsed_s: float) -> None:
        """Do with ``parcels`` what ``verdicts``, one each, say; the request took ``elapsed_s``."""
        verdict = verdicts[0]
        names = {pending.entry.name for pending in taken}
        self.suspects -= names
        if verdict.disposition in (Disposition.ACCEPTED, Disposition.REJECTED):
            self.batch = min(self._max_records, self.batch * 2)
            self._settle_each(taken, verdicts, elapsed_s)
            self._concurrency.answered(len(taken), self._clock.monotonic_s())
            return
        self._concurrency.restart()
        if len(taken) > 1 and verdict.record_may_be_the_cause:
            self._progress.deferred += 1
            self._progress.last_status = verdict.code
            self.suspects |= names
            self._send_fewer(taken)
        else:
            self._defer(taken, verdict)

    def settle_heartbeat(self, verdict: Verdict) -> None:
        """Take note of what came of a sign of life, which says something of the link, too."""
        about_records = verdict.disposition in (Disposition.ACCEPTED, Disposition.DEFERRED) or verdict.code in (
            None,
            401,
            403,
        )
        if about_records:
            self._ask_link(HEARTBEAT, verdict)
        elif not self._heartbeat_refused:
            # A server that knows only pours is good enough for pours.
            log.warning("the server takes no signs of life (%s); records go on", verdict.reason)
        self._heartbeat_refused = not about_records

    def reject(self, file: SpoolFile, reason: str) -> None:
        """The record in ``file`` will never be taken, or is none."""
        self._progress.rejected += 1
        self._removal.reject(file, reason)

    def stick(self, name: str, why: str) -> None:
        """What stands under ``name`` cannot be taken and stays."""
        if self._progress.stuck.get(name) != why:
            self._progress.stuck[name] = why
            log.warning("%s stays where it is: %s", printable(name), why)

    def unstick(self, name: str) -> None:
        """What stands under ``name`` can be taken."""
        self._progress.stuck.pop(name, None)

    def _settle_each(self, taken: Sequence[PendingRecord], verdicts: Sequence[Verdict], elapsed_s: float) -> None:
        judged = list(zip(taken, verdicts, strict=True))
        accepted = [pending for pending, verdict in judged if verdict.disposition is Disposition.ACCEPTED]
        if accepted:
            self._remove(accepted, next(verdict for verdict in verdicts if verdict.disposition is Disposition.ACCEPTED))
            self._tell_delivered(accepted, elapsed_s)
        decisions: dict[Record, Decision] = {}
        for pending, verdict in judged:
            if verdict.disposition is Disposition.REJECTED:
                decision = decisions.get(pending.record)
                if decision is None:  # one that stands there many times was rejected once
                    decision = self._ask_link(pending.entry.name, verdict, beside_an_acceptance=bool(accepted))
                    decisions[pending.record] = decision
                if decision.action is Action.REJECT:
                    self._policy.forget(pending.entry.name)
                    self.reject(pending.file, verdict.reason)
                else:
                    self._wait([pending], decision)

    def _remove(self, taken: Sequence[PendingRecord], verdict: Verdict) -> None:
        """All of these were accepted, which says of the link what one of them says."""
        self._ask_link(taken[0].entry.name, verdict)
        for pending in taken:
            self._policy.forget(pending.entry.name)
            self._removal.remove(pending.file)
        self._progress.accepted += len(taken)

    def _defer(self, taken: Sequence[PendingRecord], verdict: Verdict) -> None:
        """The request as a whole failed: its first record answers for all."""
        first, others = taken[0], taken[1:]
        decision = self._ask_link(first.entry.name, verdict)
        if decision.action is Action.STEP_ASIDE:
            self._wait([first], decision)
            self._send_fewer(others)
        else:
            self._wait(taken, decision)

    def _send_fewer(self, taken: Sequence[PendingRecord]) -> None:
        """Try these again in requests of half their number: what one of them meets, or their number, shall not hold
        up the others."""
        if taken:
            self.batch = max(1, min(self.batch, len(taken) // 2))
            self._queue.put_back(pending.entry for pending in taken)

    def _wait(self, taken: Sequence[PendingRecord], decision: Decision) -> None:
        entries = [pending.entry for pending in taken]
        if self.each_once:
            for entry in entries:
                self._queue.hold(entry, math.inf)
        elif decision.action is Action.STEP_ASIDE:
            for entry in entries:
                self._queue.hold(entry, decision.until_s)
        elif decision.action is Action.QUEUE_LAST:
            for entry in entries:
                self._queue.queue_last(entry)
        else:
            self._queue.put_back(entries)

    def _ask_link(self, name: str, verdict: Verdict, *, beside_an_acceptance: bool = False) -> Decision:
        state_before = self._policy.state
        was_aside = self._policy.stands_aside(name)
        decision = self._policy.settle(
            name, verdict, self._clock.monotonic_s(), beside_an_acceptance=beside_an_acceptance
        )
        self._progress.last_status = verdict.code
        match verdict.disposition:
            case Disposition.ACCEPTED:
                self._progress.last_accepted_ms = self._clock.wall_ms()
            case Disposition.DEFERRED:
                self._progress.deferred += 1
            case Disposition.MISCONFIGURED:
                self._progress.misconfigured += 1
        if not self.silent:
            alone = self._policy.state is not LinkState.DEFERRED
            if decision.action is Action.STEP_ASIDE and alone and not was_aside:
                log.warning("%s steps aside for the others: %s", printable(name), verdict.reason)
            self._tell_link(state_before)
        return decision

    def _tell_delivered(self, taken: Sequence[PendingRecord], elapsed_s: float) -> None:
        status = self._progress.last_status
        answered = f"answered {status} after {elapsed_s * 1000:.0f} ms"
        if len(taken) > MAX_NAMED:
            first, last = (printable(pending.file.name) for pending in (taken[0], taken[-1]))
            extra = {"KEGNET_RECORDS": len(taken), "KEGNET_HTTP_STATUS": status}
            log.info("delivered %d records, %s to %s (%s)", len(taken), first, last, answered, extra=extra)
            return
        for pending in taken:
            name, record = printable(pending.file.name), str(pending.record)
            fields = {"KEGNET_FILE": name, "KEGNET_RECORD": record, "KEGNET_HTTP_STATUS": status}
            log.info("delivered %s: %s (%s)", name, record, answered, extra=fields)

    def _tell_link(self, state_before: LinkState) -> None:
        """One line for a change of state, none for a retry: the reason alone may differ each time."""
        state, reason, status = self._policy.state, self._policy.reason, self._progress.last_status
        told, self._told = self._told, None
        if state is LinkState.MISCONFIGURED:
            # Without a status the words are ours, and only the clock in them differs.
            self._told = status or _DIGITS.sub("", reason)
            if self._told != told:
                log.error(
                    "%s. Records stay in the spool%s",
                    reason,
                    "" if self.each_once else f"; next try in {MISCONFIGURED_RETRY_S:.0f} s or on reload",
                    extra={"KEGNET_HTTP_STATUS": status, "MESSAGE_ID": MISCONFIGURED_ID},
                )
        elif state is LinkState.DEFERRED and state is not state_before:
            log.warning("%s. Records stay in the spool%s", reason, "" if self.each_once else " and are tried again")
        elif state is LinkState.UP and state_before in (LinkState.DEFERRED, LinkState.MISCONFIGURED):
            log.info("the server takes records again")
