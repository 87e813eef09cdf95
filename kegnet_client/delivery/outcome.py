"""From verdicts to fates: what becomes of each record after an answer, and what the log says of it.

`settle` changes the shared state and nothing else; its caller removes, moves and logs what it returns, without the
lock. Each record is settled by its own verdict. Only where the exchange failed as a whole, so that all have the same,
does the first record answer for all of them.
"""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kegnet_client.core.records import Record
from kegnet_client.core.retry_policy import (
    HEARTBEAT,
    MISCONFIGURED_RETRY_S,
    Action,
    Decision,
    LinkState,
)
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.delivery.state import DeliveryState, PendingRecord
from kegnet_client.host.clock import Moment
from kegnet_client.host.log import MISCONFIGURED_ID
from kegnet_client.spool.directory import printable

log = logging.getLogger(__name__)

MAX_NAMED = 10
"""A request of more records than this has one line in the log."""

RECORDS_STAY = "Records stay in the spool"
NOTHING_WAITS = "No record waits"

_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class News:
    """A line for the log."""

    level: int
    line: str
    extra: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Fates:
    """What is to be done: remove ``accepted``, move ``rejected`` with their reasons, log ``news``; the rest waits."""

    accepted: list[PendingRecord] = field(default_factory=list)
    code: int | None = None
    """What the answer that accepted them was called."""
    rejected: list[tuple[PendingRecord, str]] = field(default_factory=list)
    news: list[News] = field(default_factory=list)


def settle(state: DeliveryState, taken: Sequence[PendingRecord], verdicts: Sequence[Verdict], now: Moment) -> Fates:
    """The fates of ``taken`` after ``verdicts``, one each. What stays is queued again and not under way any more."""
    fates = Fates()
    if state.suspects:
        state.suspects.difference_update([pending.entry.name for pending in taken])
    first = verdicts[0]
    if _is_failure(first) and all(verdict is first for verdict in verdicts):
        state.concurrency.restart()
        state.done([pending.entry.name for pending in taken])
        _settle_failed_request(state, taken, first, now, fates)
    else:
        _settle_each(state, taken, verdicts, now, fates)
        if fates.accepted or fates.rejected:
            state.send_more()
            state.concurrency.answered(len(taken), now.monotonic_s)
        else:
            state.concurrency.restart()
    return fates


def settle_heartbeat(state: DeliveryState, verdict: Verdict, now: Moment) -> list[News]:
    """Take note of what came of a heartbeat, which says something of the sink, too."""
    if verdict.disposition in (Disposition.ACCEPTED, Disposition.DEFERRED) or verdict.refused:
        fates = Fates()
        state.heartbeat_refused = False
        _ask_policy(state, HEARTBEAT, verdict, now, fates)
        return fates.news
    # A server that knows only pours is good enough for pours.
    said_before, state.heartbeat_refused = state.heartbeat_refused, True
    line = f"the server takes no heartbeats ({verdict.reason}); records go on"
    return [] if said_before else [News(logging.WARNING, line)]


def _is_failure(verdict: Verdict) -> bool:
    return verdict.disposition in (Disposition.DEFERRED, Disposition.MISCONFIGURED)


def _settle_each(
    state: DeliveryState, taken: Sequence[PendingRecord], verdicts: Sequence[Verdict], now: Moment, fates: Fates
) -> None:
    others: list[tuple[PendingRecord, Verdict]] = []
    for pending, verdict in zip(taken, verdicts, strict=True):
        if verdict.disposition is Disposition.ACCEPTED:
            fates.accepted.append(pending)
            fates.code = verdict.code
            state.policy.forget(pending.entry.name)
        else:
            others.append((pending, verdict))
    if fates.accepted:
        # All of these were accepted, which says of the sink what one of them says.
        _ask_policy(state, fates.accepted[0].entry.name, _first_accepted(verdicts), now, fates)
        state.progress.accepted += len(fates.accepted)
    decisions: dict[Record, Decision] = {}
    for pending, verdict in others:
        decision = decisions.get(pending.record)
        if decision is None:  # a record that stands there many times was judged once
            decision = _ask_policy(state, pending.entry.name, verdict, now, fates, bool(fates.accepted))
            decisions[pending.record] = decision
        if decision.action is Action.REJECT:
            state.policy.forget(pending.entry.name)
            fates.rejected.append((pending, verdict.reason))
        else:
            state.done([pending.entry.name])
            _wait(state, [pending], decision)


def _first_accepted(verdicts: Sequence[Verdict]) -> Verdict:
    return next(verdict for verdict in verdicts if verdict.disposition is Disposition.ACCEPTED)


def _settle_failed_request(
    state: DeliveryState, taken: Sequence[PendingRecord], verdict: Verdict, now: Moment, fates: Fates
) -> None:
    if len(taken) > 1 and verdict.record_may_be_the_cause:
        state.progress.deferred += 1
        state.progress.last_status = verdict.code
        state.suspects.update(pending.entry.name for pending in taken)
        state.send_fewer([pending.entry for pending in taken])
        return
    first, others = taken[0], taken[1:]
    decision = _ask_policy(state, first.entry.name, verdict, now, fates)
    if decision.action is Action.STEP_ASIDE:
        _wait(state, [first], decision)
        state.send_fewer([pending.entry for pending in others])
    else:
        _wait(state, taken, decision)


def _wait(state: DeliveryState, waiting: Sequence[PendingRecord], decision: Decision) -> None:
    if state.each_once:
        for pending in waiting:
            state.queue.hold(pending.entry, math.inf)
    elif decision.action is Action.STEP_ASIDE:
        for pending in waiting:
            state.queue.hold(pending.entry, decision.until_s)
    elif decision.action is Action.QUEUE_LAST:
        for pending in waiting:
            state.queue.queue_last(pending.entry)
    else:
        state.queue.put_back(pending.entry for pending in waiting)


def _ask_policy(
    state: DeliveryState,
    name: str,
    verdict: Verdict,
    now: Moment,
    fates: Fates,
    beside_an_acceptance: bool = False,
) -> Decision:
    policy, progress = state.policy, state.progress
    state_before = policy.state
    was_aside = policy.stands_aside(name)
    decision = policy.settle(name, verdict, now.monotonic_s, beside_an_acceptance=beside_an_acceptance)
    progress.last_status = verdict.code
    match verdict.disposition:
        case Disposition.ACCEPTED:
            progress.last_accepted_ms = now.wall_ms
        case Disposition.DEFERRED:
            progress.deferred += 1
        case Disposition.MISCONFIGURED:
            progress.misconfigured += 1
            progress.was_refused |= verdict.refused
    alone = policy.state is not LinkState.DEFERRED and name != HEARTBEAT
    if decision.action is Action.STEP_ASIDE and alone and not was_aside:
        line = f"{printable(name)} is tried again later, other records go on: {verdict.reason}"
        fates.news.append(News(logging.WARNING, line))
    if verdict.others_go_on:
        return decision
    is_idle = name == HEARTBEAT and not state.waiting
    fates.news += _link_news(state, state_before, NOTHING_WAITS if is_idle else RECORDS_STAY)
    return decision


def _link_news(state: DeliveryState, state_before: LinkState, staying: str) -> list[News]:
    """One line for a change of state, none for a retry: the reason alone may differ each time. What was said when
    nothing waited is said once more when a record does."""
    policy, code = state.policy, state.progress.last_status
    said_before, state.misconfiguration_said = state.misconfiguration_said, None
    nothing_waited, state.nothing_waited = state.nothing_waited, staying is NOTHING_WAITS
    now_waits = nothing_waited and staying is RECORDS_STAY
    extra: dict[str, object] = {"KEGNET_HTTP_STATUS": code}
    match policy.state:
        case LinkState.MISCONFIGURED:
            # Without a code the words are ours, and only the clock in them differs.
            state.misconfiguration_said = code or _DIGITS.sub("", policy.reason)
            if state.misconfiguration_said == said_before:
                return []
            again = "" if state.each_once else f"; next try in {MISCONFIGURED_RETRY_S:.0f} s or on reload"
            line = f"{policy.reason}. {RECORDS_STAY}{again}"
            return [News(logging.ERROR, line, {**extra, "MESSAGE_ID": MISCONFIGURED_ID})]
        case LinkState.DEFERRED if state_before is not LinkState.DEFERRED or now_waits:
            again = "" if state.each_once or staying is NOTHING_WAITS else " and are tried again"
            return [News(logging.WARNING, f"{policy.reason}. {staying}{again}", extra)]
        case LinkState.UP if state_before in (LinkState.DEFERRED, LinkState.MISCONFIGURED):
            return [News(logging.INFO, "the server takes records again")]
        case _:
            return []


def log_news(news: Sequence[News], label: str = "") -> None:
    """Log what `settle` says, with ``label`` before it."""
    for one in news:
        log.log(one.level, "%s%s", label, one.line, extra=one.extra)


def log_delivered(fates: Fates, elapsed_ms: float, label: str = "") -> None:
    """A line for each accepted record; for many one for the whole request, which took ``elapsed_ms``."""
    answered = "acknowledged" if fates.code is None else f"answered {fates.code}"
    answered = f"{answered} after {elapsed_ms:.0f} ms"
    if len(fates.accepted) > MAX_NAMED:
        first, last = (printable(fates.accepted[index].file.name) for index in (0, -1))
        fields = {"KEGNET_RECORDS": len(fates.accepted), "KEGNET_HTTP_STATUS": fates.code}
        many = len(fates.accepted)
        log.info("%sdelivered %d records, %s to %s (%s)", label, many, first, last, answered, extra=fields)
        return
    for pending in fates.accepted:
        name, record = printable(pending.file.name), str(pending.record)
        about: dict[str, object] = {"KEGNET_FILE": name, "KEGNET_RECORD": record, "KEGNET_HTTP_STATUS": fates.code}
        log.info("%sdelivered %s: %s (%s)", label, name, record, answered, extra=about)
