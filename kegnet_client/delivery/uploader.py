"""The uploader: from a file in the spool to its acknowledgement.

One thread waits for the watcher, takes the records whose turn it is, has them sent and settled. While there is a
backlog and it pays, more threads with a connection each do the same (`WorkerPool`); what they share is used under one
lock, which nobody holds while it waits for the network.

There are two lanes: what inotify announces goes first, the backlog that a scan finds goes behind it, oldest
first. Both hold a bounded number of names; what does not fit is found by the next scan.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kegnet_client.core.concurrency import AdaptiveConcurrency
from kegnet_client.core.delivery_queue import DeliveryQueue
from kegnet_client.core.errors import SpoolError, SpoolInUseError
from kegnet_client.core.records import Heartbeat, is_record_name
from kegnet_client.core.retry_policy import RetryPolicy
from kegnet_client.delivery.outcome import Outcome, PendingRecord
from kegnet_client.delivery.pickup import Pickup
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.workers import WorkerPool
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.base import OpenSink, Sink
from kegnet_client.spool.directory import Scan, Scanner, Spool, count_waiting, explain, printable
from kegnet_client.spool.removal import SpoolRemoval
from kegnet_client.spool.watch import Events, Watcher

log = logging.getLogger(__name__)

MAX_ANNOUNCED = 4096
"""How many announced names are kept."""
MAX_BACKLOG = 32768
"""How many names one scan brings: enough that a large backlog is not scanned too often for what it costs."""
SCAN_PIECE = 1024
"""How many names are looked at before the next look at what was announced."""
MAX_ASIDE_ONCE = 9
"""How many records in a row may earn a 5xx while each is tried once; one more, and it is the server."""
CHECK_INTERVAL_S = 60.0
"""How often, when nothing happens, the directory is compared with what is known of it."""
PUBLISH_INTERVAL_S = 1.0
"""How often at most, while it is busy, others are told how it goes."""


class Uploader:
    """Delivers what stands in ``spool``, which it holds the lock on, by what ``open_sink`` gives.

    ``random`` gives a float in [0, 1). ``scanned`` is set once the spool has been read for the first time;
    ``changed`` is called in the uploader's thread when ``progress`` has changed.
    """

    def __init__(
        self,
        spool: Spool,
        open_sink: OpenSink,
        clock: Clock,
        random: Callable[[], float],
        progress: Progress,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.progress = progress
        self.scanned = threading.Event()
        self.alive_at_s = clock.monotonic_s()
        self._spool = spool
        self._clock = clock
        self._changed = changed
        self._sink = open_sink()
        self._workers = WorkerPool(open_sink, self._help, self._helped)
        self._shared = threading.Lock()
        self._watcher = Watcher()
        self._removal = SpoolRemoval(spool, clock)
        self._policy = RetryPolicy(random)
        self._queue = DeliveryQueue(MAX_ANNOUNCED)
        self._concurrency = AdaptiveConcurrency(self._sink.max_connections)
        self._outcome = Outcome(
            self._removal, self._queue, self._policy, self._concurrency, progress, clock, self._sink.max_records
        )
        self._pickup = Pickup(spool, self._queue, self._policy, self._watcher, self._outcome, clock)
        self._heartbeats: deque[Heartbeat] = deque(maxlen=1)
        self._unwritable: str | None = None
        self._scanner: Scanner | None = None
        self._scan_wanted = False
        self._not_queued = 0
        self._gone_at_scan = 0
        self._reopen_problem: str | None = None
        self._check_at_s = 0.0
        self._unpublished = True
        self._publish_at_s = 0.0
        self._fault: Exception | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        """Deliver until `stop`."""
        self._begin(self._clock.monotonic_s() + CHECK_INTERVAL_S)
        while not self._stopping.is_set():
            self.alive_at_s = self._clock.monotonic_s()
            pause_s = self._pause_s()
            if self._unpublished and (pause_s > 0 or self.alive_at_s >= self._publish_at_s):
                self._publish()
            self._turn(pause_s)
        self._end()

    def drain(self) -> None:
        """Try each record once, waiting for those that are still being written, then return."""
        self._outcome.each_once = True
        self._policy.max_aside = MAX_ASIDE_ONCE
        self._begin(math.inf)
        while self._workers.is_busy or (self._policy.ready(self._clock.monotonic_s()) and self._pause_s() < math.inf):
            self._turn(min(self._pause_s(), CHECK_INTERVAL_S))
        self._end()

    def stop(self) -> None:
        """End `run` after the exchanges that are under way; from any thread."""
        self._outcome.silent = True
        self._stopping.set()
        self._watcher.wake()

    def abort(self) -> None:
        """End the exchanges that are under way, as broken connections would; from any thread."""
        self._sink.abort()
        self._workers.abort()

    def nudge(self) -> None:
        """Have it renew `alive_at_s`, if it can; from any thread."""
        self._watcher.wake()

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send this sign of life as soon as the link is ready, unless a newer one comes first; from any thread."""
        self._heartbeats.append(heartbeat)
        self._watcher.wake()

    def _begin(self, check_at_s: float) -> None:
        self._check_at_s = check_at_s
        self._pickup.look_at_clock()
        self._watch()
        self._see_whether_writable()
        self._start_scan()
        # The directory has one reading position: a scan that a stop left behind would take names from the next one's.
        while self._scanner and not self._stopping.is_set():
            self.alive_at_s = self._clock.monotonic_s()
            self._go_on_scanning()
        self.scanned.set()

    def _end(self) -> None:
        self._workers.close()
        self._sink.close()
        self._watcher.close()
        self._drop_scan()

    def _turn(self, pause_s: float) -> None:
        """Wait for something to do, and do it."""
        events = self._watcher.wait(pause_s)
        with self._shared:
            if self._fault:
                raise self._fault
            self._note(events)
            if self._clock.monotonic_s() >= self._check_at_s:
                self._check()
            heartbeat, taken = self._next()
        if taken:
            self._deliver(taken, self._sink)
        elif heartbeat:
            (verdict,) = self._sink.send([heartbeat])
            with self._shared:
                self._outcome.settle_heartbeat(verdict)

    def _pause_s(self) -> float:
        """How long there is nothing to do unless something happens."""
        with self._shared:
            has_heartbeat = bool(self._heartbeats) and not self._workers.is_busy  # whose end wakes this thread
            has_work = has_heartbeat or self._wants_scan or self._scanner is not None
            due_s = 0.0 if has_work else self._queue.due_s()
            wake_at_s = (
                self._check_at_s if due_s is None else min(self._check_at_s, max(due_s, self._policy.retry_at_s))
            )
            return max(0.0, wake_at_s - self._clock.monotonic_s())

    @property
    def _wants_scan(self) -> bool:
        return self._scan_wanted or (self._not_queued > 0 and self._gone() > self._gone_at_scan)

    def _note(self, events: Events) -> None:
        for name in events.completed:
            if is_record_name(name) and not self._queue.announce(name):
                self._not_queued += 1
                self._scan_wanted = True
        self._scan_wanted |= events.scan or events.reopen
        if events.scan:
            # What was said of a file may not hold any more: events are lost.
            self._queue.doubt()
        if events.reopen:
            self._reopen()
            self._watch()

    def _check(self) -> None:
        """Compare what is known with what is: the clock, the directory, its watch, its files."""
        self._check_at_s = self._clock.monotonic_s() + CHECK_INTERVAL_S
        self._pickup.look_at_clock()
        if self._removal.retry():
            self._check_at_s = self._clock.monotonic_s()
            return
        self._reopen()
        self._see_whether_writable()
        if self.progress.watch_problem:
            self._watch()
        self.progress.stuck = {name: why for name, why in self.progress.stuck.items() if self._spool.has(name)}
        self._scan_wanted = self._unpublished = True

    def _see_whether_writable(self) -> None:
        before, self._unwritable = self._unwritable, None
        if not self._spool.is_writable():
            self._unwritable = f"{self._spool.path} is read-only for this user: what is delivered cannot be removed"
            if before is None:
                log.warning("%s; make it writable (mount -o remount,rw, or chown)", self._unwritable)

    def _reopen(self) -> None:
        before = self._spool.place()
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
            if before is not None:
                tell_left_behind(before)
            self._queue.clear()
            self._removal.clear()
            self.progress.stuck = {}
            self._drop_scan()
            self._watch()
            self._scan_wanted = True

    def _watch(self) -> None:
        self._watcher.watch(self._spool.fd)
        # What happens between two watches is not told.
        self._queue.doubt()
        problem = self._watcher.problem
        if problem and not self.progress.watch_problem:
            log.warning("%s; looking into the spool every %.0f s instead", problem, CHECK_INTERVAL_S)
        self.progress.watch_problem = problem

    def _start_scan(self) -> None:
        self._drop_scan()
        self._scan_wanted = False
        known = self._queue.held() | self._pickup.names() | self._removal.pending() | self.progress.stuck.keys()
        try:
            self._scanner = self._spool.scan(MAX_BACKLOG, known)
        except OSError as error:
            self._cannot_scan(error)

    def _go_on_scanning(self) -> None:
        if self._scanner is None:
            return
        try:
            if self._scanner.look(SCAN_PIECE):
                return
        except OSError as error:
            self._cannot_scan(error)
        else:
            self._take_scan(self._scanner.finish())
        self._drop_scan()

    def _take_scan(self, scan: Scan) -> None:
        # The stuck ones take no place from the others and have another look at the end.
        self._queue.refill([*scan.oldest, *self.progress.stuck])
        self._not_queued = scan.more
        self._gone_at_scan = self._gone()
        for name, why in scan.stuck.items():
            self._outcome.stick(name, why)

    def _cannot_scan(self, error: OSError) -> None:
        problem = f"{self._spool.path}: {explain(error)}"
        if problem != self._reopen_problem:
            log.error("%s", problem)
        self._reopen_problem = problem
        self._not_queued = 0

    def _drop_scan(self) -> None:
        if self._scanner:
            self._scanner.close()
            self._scanner = None

    def _gone(self) -> int:
        """How many records have left the spool."""
        return self.progress.accepted + self.progress.rejected

    def _next(self) -> tuple[Heartbeat | None, list[PendingRecord]]:
        """What to send now, if it is time for that; otherwise a piece of what else is to be done."""
        if not self._policy.ready(self._clock.monotonic_s()):
            self._workers.resize(1)
            return None, []
        self._unpublished = True
        # Records first: they are a sign of life, too, and a server that refuses the other kind must not stop them.
        if taken := self._pickup.take(self._outcome.batch):
            if self._queue.has_backlog:
                self._workers.resize(self._concurrency.connections)
            return None, taken
        if self._scanner:
            self._go_on_scanning()
        elif self._wants_scan and not self._queue.has_backlog:
            self._concurrency.interrupted()
            self._start_scan()
        elif not self._workers.is_busy:
            self._concurrency.restart()
            self._workers.resize(1)
            return (self._heartbeats.popleft() if self._heartbeats else None), []
        return None, []

    def _deliver(self, taken: list[PendingRecord], sink: Sink) -> None:
        started_s = self._clock.monotonic_s()
        # A record that stands there under several names is sent once, and each of them has its verdict.
        records = list(dict.fromkeys(pending.record for pending in taken))
        answered = dict(zip(records, sink.send(records), strict=True))
        verdicts = [answered[pending.record] for pending in taken]
        elapsed_s = self._clock.monotonic_s() - started_s
        with self._shared:
            self._pickup.done(taken)
            self._outcome.settle(taken, verdicts, elapsed_s)

    def _help(self, sink: Sink, number: int) -> None:
        """Carry the backlog beside the others, as long as there is one and so many are wanted."""
        while True:
            with self._shared:
                wanted = number < self._concurrency.connections and self._queue.has_backlog
                ready = self._policy.ready(self._clock.monotonic_s()) and not self._stopping.is_set()
                taken = self._pickup.take(self._outcome.batch) if wanted and ready else []
            if not taken:
                return
            self._deliver(taken, sink)

    def _helped(self, fault: Exception | None) -> None:
        self._fault = self._fault or fault
        self._watcher.wake()

    def _publish(self) -> None:
        self._unpublished = False
        self._publish_at_s = self._clock.monotonic_s() + PUBLISH_INTERVAL_S
        with self._shared:
            self.progress.waiting = len(self._queue) + len(self._pickup) + self._not_queued
            self.progress.link = self._policy.state
            self.progress.link_reason = self._policy.reason
            self.progress.spool_problem = self._reopen_problem or self._removal.problem or self._unwritable
        self._changed()


def tell_left_behind(spool: Path) -> None:
    """Tell what waits in ``spool``, which is not delivered from any more."""
    with suppress(SpoolError):  # it is gone, and what was in it too
        if waiting := count_waiting(spool):
            where = printable(str(spool))
            log.warning("%d waiting in %s, from where nothing is delivered any more: move them over", waiting, where)
