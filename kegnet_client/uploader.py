"""The uploader: from a file in the spool to its acknowledgement.

The one thread that runs an `Uploader` waits for the watcher, takes the record whose turn it is, has it sent,
asks the `Link` what to do and does that.

There are two lanes: what inotify announces goes first, the backlog that a scan finds goes behind it, oldest
first. Both hold a bounded number of names; what does not fit is found by the next scan.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from kegnet_client.clock import STEP_S, Clock, StepDetector
from kegnet_client.core.delivery import MISCONFIGURED_RETRY_S, Disposition, Verdict
from kegnet_client.core.errors import RecordError, SpoolError, SpoolInUseError
from kegnet_client.core.lanes import Lanes, Turn
from kegnet_client.core.link import Action, Decision, Link, LinkState
from kegnet_client.core.records import Heartbeat, Record, is_record_name
from kegnet_client.custody import Custody
from kegnet_client.log import MISCONFIGURED_ID
from kegnet_client.spool import SETTLED_AFTER_S, Spool, SpoolFile, StuckFileError, explain, printable
from kegnet_client.watcher import Events, Watcher

log = logging.getLogger(__name__)

BATCH = 4096
"""How many names one scan brings, and how many announced names are kept."""
CHECK_INTERVAL_S = 60.0
"""How often, when nothing happens, the directory is compared with what is known of it."""
PUBLISH_INTERVAL_S = 1.0
"""How often at most, while it is busy, others are told how it goes."""
HEARTBEAT = "heartbeat"
"""What the link calls a sign of life, which has no file; no record is called so."""


@dataclass(slots=True)
class Progress:
    """What was done and what is in the way; other threads read it as it is at that moment."""

    accepted: int = 0
    rejected: int = 0
    deferred: int = 0
    misconfigured: int = 0
    last_accepted_ms: int | None = None
    last_status: int | None = None
    link: LinkState = LinkState.UNTRIED
    link_reason: str = ""
    stuck: dict[str, str] = field(default_factory=dict)
    watch_problem: str | None = None
    spool_problem: str | None = None


class Uploader:
    """Delivers what stands in ``spool``, which it holds the lock on, by ``send``.

    ``random`` gives a float in [0, 1). ``scanned`` is set once the spool has been read for the first time;
    ``changed`` is called in the uploader's thread when ``progress`` has changed.
    """

    def __init__(
        self,
        spool: Spool,
        send: Callable[[Record | Heartbeat], Verdict],
        clock: Clock,
        random: Callable[[], float],
        progress: Progress,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.progress = progress
        self.scanned = threading.Event()
        self.alive_at_s = clock.monotonic_s()
        self._spool = spool
        self._send = send
        self._clock = clock
        self._changed = changed
        self._watcher = Watcher()
        self._custody = Custody(spool, clock)
        self._link = Link(random)
        self._lanes = Lanes(BATCH)
        self._steps = StepDetector()
        self._heartbeats: deque[Heartbeat] = deque(maxlen=1)
        self._each_once = False
        self._heartbeat_refused = False
        self._unwritable: str | None = None
        self._more = False
        self._scan_wanted = False
        self._reopen_problem: str | None = None
        self._check_at_s = 0.0
        self._unpublished = True
        self._publish_at_s = 0.0
        self._stopping = threading.Event()

    def run(self) -> None:
        """Deliver until `stop`."""
        self._begin()
        while not self._stopping.is_set():
            self.alive_at_s = self._clock.monotonic_s()
            pause_s = self._pause_s()
            if self._unpublished and (pause_s > 0 or self.alive_at_s >= self._publish_at_s):
                self._publish()
            self._note(self._watcher.wait(pause_s))
            if self._clock.monotonic_s() >= self._check_at_s:
                self._check()
            self._step()
        self._watcher.close()

    def drain(self) -> None:
        """Try each record once, waiting for those that are still being written, then return."""
        self._each_once = True
        self._begin()
        while self._link.ready(self._clock.monotonic_s()) and self._pause_s() < math.inf:
            self._note(self._watcher.wait(self._pause_s()))
            self._step()
        self._watcher.close()

    def stop(self) -> None:
        """End `run` after the exchange that is under way; from any thread."""
        self._stopping.set()
        self._watcher.wake()

    def nudge(self) -> None:
        """Have it renew `alive_at_s`, if it can; from any thread."""
        self._watcher.wake()

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send this sign of life as soon as the link is ready, unless a newer one comes first; from any thread."""
        self._heartbeats.append(heartbeat)
        self._watcher.wake()

    def _begin(self) -> None:
        now_s = self._clock.monotonic_s()
        self._check_at_s = math.inf if self._each_once else now_s + CHECK_INTERVAL_S
        self._steps.feed(now_s, self._clock.wall_ms())
        self._watch()
        self._see_whether_writable()
        self._scan()
        self.scanned.set()

    def _pause_s(self) -> float:
        """How long there is nothing to do unless something happens."""
        due_s = 0.0 if self._heartbeats or self._scan_wanted else self._lanes.due_s()
        wake_at_s = self._check_at_s if due_s is None else min(self._check_at_s, max(due_s, self._link.retry_at_s))
        return max(0.0, wake_at_s - self._clock.monotonic_s())

    def _note(self, events: Events) -> None:
        for name in events.completed:
            if is_record_name(name) and not self._lanes.announce(name):
                self._scan_wanted = True
        self._scan_wanted |= events.scan or events.reopen
        if events.scan:
            # What was said of a file may not hold any more: events are lost.
            self._lanes.doubt()
        if events.reopen:
            self._reopen()
            self._watch()

    def _check(self) -> None:
        """Compare what is known with what is: the clock, the directory, its watch, its files."""
        self._check_at_s = self._clock.monotonic_s() + CHECK_INTERVAL_S
        self._look_at_clock()
        self._custody.retry()
        self._reopen()
        self._see_whether_writable()
        if self.progress.watch_problem:
            self._watch()
        self.progress.stuck = {name: why for name, why in self.progress.stuck.items() if self._spool.has(name)}
        self._scan_wanted = self._unpublished = True

    def _look_at_clock(self) -> None:
        if self._steps.feed(self._clock.monotonic_s(), self._clock.wall_ms()):
            log.info("this machine's clock was set; trying again at once")
            self._link.retry_now()

    def _see_whether_writable(self) -> None:
        before, self._unwritable = self._unwritable, None
        if not self._spool.is_writable():
            self._unwritable = f"{self._spool.path} is read-only for this user: what is delivered cannot be removed"
            if before is None:
                log.warning("%s; make it writable (mount -o remount,rw, or chown)", self._unwritable)

    def _reopen(self) -> None:
        try:
            replaced = self._spool.reopen_if_replaced()
        except (SpoolError, SpoolInUseError) as error:
            if self._reopen_problem is None:
                log.warning("%s; going on with the directory that was there", error)
            self._reopen_problem = str(error)
            return
        self._reopen_problem = None
        if replaced:
            log.warning("%s was replaced; going on with the new one", self._spool.path)
            self._lanes.clear()
            self._custody.clear()
            self._watch()
            self._scan_wanted = True

    def _watch(self) -> None:
        self._watcher.watch(self._spool.fd)
        # What happens between two watches is not told.
        self._lanes.doubt()
        problem = self._watcher.problem
        if problem and not self.progress.watch_problem:
            log.warning("%s; looking into the spool every %.0f s instead", problem, CHECK_INTERVAL_S)
        self.progress.watch_problem = problem

    def _scan(self) -> None:
        self._scan_wanted = self._more = False
        try:
            known = self._lanes.held() | self._custody.pending() | self.progress.stuck.keys()
            scan = self._spool.scan(BATCH, known)
        except OSError as error:
            problem = f"{self._spool.path}: {explain(error)}"
            if problem != self._reopen_problem:
                log.error("%s", problem)
            self._reopen_problem = problem
            return
        # The stuck ones take no place from the others and have another look at the end.
        self._lanes.refill([*scan.oldest, *self.progress.stuck])
        self._more = scan.more > 0
        for name, why in scan.stuck.items():
            self._stick(name, why)

    def _step(self) -> None:
        """Do the next thing, if it is time for one."""
        now_s = self._clock.monotonic_s()
        if not self._link.ready(now_s):
            return
        # Records first: they are a sign of life, too, and a server that refuses the other kind must not stop them.
        if turn := self._lanes.take(now_s):
            self._deliver(turn)
        elif self._heartbeats:
            self._send_heartbeat(self._heartbeats.popleft())
        elif self._scan_wanted:
            self._scan()
        self._unpublished = True

    def _deliver(self, turn: Turn) -> None:
        try:
            file = self._spool.read(turn.name)
        except FileNotFoundError:
            self._link.forget(turn.name)
            return
        except StuckFileError as error:
            self._stick(turn.name, str(error))
            return
        self.progress.stuck.pop(turn.name, None)
        if self._custody.is_decided(file):
            return
        unsettled_for_s = 0.0 if self._is_finished(file, turn) else self._unsettled_for_s(file)
        if unsettled_for_s:
            # What was announced was an empty file; what is written into it is announced anew, or has to settle.
            self._lanes.hold(Turn(turn.name, announced=False), self._clock.monotonic_s() + unsettled_for_s)
            return
        try:
            record = file.record()
        except RecordError as error:
            self._reject(file, str(error))
            return
        self._deliver_record(turn, file, record)

    def _is_finished(self, file: SpoolFile, turn: Turn) -> bool:
        """Whether the producer has visibly finished; an empty file is more likely about to be written."""
        is_closed = turn.announced and not self._watcher.is_being_written(turn.name)
        return file.size > 0 and (is_closed or file.data.endswith(b"\n"))

    def _unsettled_for_s(self, file: SpoolFile) -> float:
        """How long ``file`` has to stay as it is to count as whole; 0 when it has been long enough.

        Its age comes from the wall clock, which is to be believed only when it was not set meanwhile. A clock that
        was set back by less than that shows, or that is coarser than the file's time, makes it a little negative.
        """
        self._look_at_clock()
        age_s = self._clock.wall_ms() / 1000 - file.mtime_ns / 1e9
        unchanged_s = age_s if -STEP_S <= age_s < SETTLED_AFTER_S else math.inf
        stable_s = self._steps.stable_for_s(self._clock.monotonic_s())
        return max(0.0, SETTLED_AFTER_S - min(unchanged_s, stable_s))

    def _deliver_record(self, turn: Turn, file: SpoolFile, record: Record) -> None:
        started_s = self._clock.monotonic_s()
        verdict = self._send(record)
        decision = self._settle(turn.name, verdict)
        match decision.action:
            case Action.REMOVE:
                self._custody.remove(file)
                self.progress.accepted += 1
                self._scan_wanted |= self._more
                log.info(
                    "delivered %s: %s (answered %s after %.0f ms)",
                    printable(file.name),
                    record,
                    verdict.status,
                    (self._clock.monotonic_s() - started_s) * 1000,
                    extra={
                        "KEGNET_FILE": printable(file.name),
                        "KEGNET_RECORD": str(record),
                        "KEGNET_HTTP_STATUS": verdict.status,
                    },
                )
            case Action.REJECT:
                self._reject(file, verdict.reason)
            case _ if self._each_once:
                self._lanes.hold(turn, math.inf)
            case Action.STEP_ASIDE:
                self._lanes.hold(turn, decision.until_s)
            case Action.QUEUE_LAST:
                self._lanes.queue_last(turn)
            case Action.KEEP:
                self._lanes.put_back(turn)

    def _reject(self, file: SpoolFile, reason: str) -> None:
        self.progress.rejected += 1
        self._custody.reject(file, reason)
        self._scan_wanted |= self._more

    def _send_heartbeat(self, heartbeat: Heartbeat) -> None:
        verdict = self._send(heartbeat)
        about_records = verdict.disposition in (Disposition.ACCEPTED, Disposition.DEFERRED) or verdict.status in (
            None,
            401,
            403,
        )
        if about_records:
            self._settle(HEARTBEAT, verdict)
        elif not self._heartbeat_refused:
            # A server that knows only pours is good enough for pours.
            log.warning("the server takes no signs of life (%s); records go on", verdict.reason)
        self._heartbeat_refused = not about_records

    def _settle(self, name: str, verdict: Verdict) -> Decision:
        before = (self._link.state, self.progress.last_status)
        was_aside = self._link.stands_aside(name)
        decision = self._link.settle(name, verdict, self._clock.monotonic_s())
        self.progress.last_status = verdict.status
        match verdict.disposition:
            case Disposition.ACCEPTED:
                self.progress.last_accepted_ms = self._clock.wall_ms()
            case Disposition.DEFERRED:
                self.progress.deferred += 1
            case Disposition.MISCONFIGURED:
                self.progress.misconfigured += 1
        if not self._stopping.is_set():
            alone = self._link.state is not LinkState.DEFERRED
            if decision.action is Action.STEP_ASIDE and alone and not was_aside:
                log.warning("%s steps aside for the others: %s", printable(name), verdict.reason)
            self._tell_link(*before)
        return decision

    def _tell_link(self, state_before: LinkState, status_before: int | None) -> None:
        """One line for a change of state, none for a retry: the reason alone may differ each time."""
        state, reason, status = self._link.state, self._link.reason, self.progress.last_status
        if state is LinkState.MISCONFIGURED and (state, status) != (state_before, status_before):
            log.error(
                "%s. Records stay in the spool%s",
                reason,
                "" if self._each_once else f"; next try in {MISCONFIGURED_RETRY_S:.0f} s or on reload",
                extra={"KEGNET_HTTP_STATUS": self.progress.last_status, "MESSAGE_ID": MISCONFIGURED_ID},
            )
        elif state is LinkState.DEFERRED and state is not state_before:
            log.warning("%s. Records stay in the spool%s", reason, "" if self._each_once else " and are tried again")
        elif state is LinkState.UP and state_before in (LinkState.DEFERRED, LinkState.MISCONFIGURED):
            log.info("the server takes records again")

    def _stick(self, name: str, why: str) -> None:
        if self.progress.stuck.get(name) != why:
            self.progress.stuck[name] = why
            log.warning("%s stays where it is: %s", printable(name), why)

    def _publish(self) -> None:
        self._unpublished = False
        self._publish_at_s = self._clock.monotonic_s() + PUBLISH_INTERVAL_S
        self.progress.link = self._link.state
        self.progress.link_reason = self._link.reason
        self.progress.spool_problem = self._reopen_problem or self._custody.problem or self._unwritable
        self._changed()
