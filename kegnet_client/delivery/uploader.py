"""The uploader: from a file in the spool to its acknowledgement.

One thread waits for the watcher, picks up the records at the head of the queue, has them sent and settles each by its
verdict. While there is a backlog and it pays, more threads with a connection each do the same (`WorkerPool`). The
state that they share stands behind one lock (`Shared`), which nobody holds while it waits for the network or a disk.

The delivery queue: what inotify announced goes first, then records held until their retry time, then the backlog that
a scan found, oldest first. Its parts hold a bounded number of names; what does not fit is found by the next scan.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kegnet_client.core.errors import SpoolError, SpoolInUseError
from kegnet_client.core.records import Heartbeat, is_record_name
from kegnet_client.delivery.backlog import Backlog
from kegnet_client.delivery.carry_out import CarryOut
from kegnet_client.delivery.outcome import log_news, settle, settle_heartbeat
from kegnet_client.delivery.pickup import Pickup
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.state import DeliveryState, PendingRecord, Shared
from kegnet_client.delivery.workers import WorkerPool
from kegnet_client.host.clock import Clock, Moment
from kegnet_client.host.condition import Condition
from kegnet_client.sinks.base import OpenSink, Sink
from kegnet_client.spool.directory import Spool, count_waiting, printable
from kegnet_client.spool.removal import SpoolRemoval, TakeOut
from kegnet_client.spool.watch import Events, Watcher

log = logging.getLogger(__name__)

MAX_ASIDE_ONCE = 9
"""How many records in a row may earn a 5xx while each is tried once; one more, and it is the server."""
CHECK_INTERVAL_S = 60.0
"""How often, when nothing happens, the directory is compared with what is known of it."""
REOPEN_INTERVAL_S = 1.0
"""How soon it looks again for a directory that is gone: the spool around a queue may just be made anew."""
PUBLISH_INTERVAL_S = 1.0
"""How often at most, while it is busy, others are told how it goes."""


class Uploader:
    """Delivers what stands in ``spool``, which it holds the lock on, to what ``open_sink`` gives.

    ``random`` gives a float in [0, 1). ``scanned`` is set once the spool has been read for the first time;
    ``changed`` is called in the uploader's thread when ``progress`` has changed. ``take_out`` and ``label`` are
    `SpoolRemoval`'s; what is taken out in another way than by its removal is not delivered yet, and not logged so.
    """

    def __init__(
        self,
        spool: Spool,
        open_sink: OpenSink,
        clock: Clock,
        random: Callable[[], float],
        progress: Progress,
        changed: Callable[[], None] = lambda: None,
        take_out: TakeOut | None = None,
        label: str = "",
    ) -> None:
        self.progress = progress
        self.scanned = threading.Event()
        self.alive_at_s = clock.monotonic_s()
        self._spool = spool
        self._clock = clock
        self._changed = changed
        self._sink = open_sink()
        self._workers = WorkerPool(open_sink, self._help, self._helped)
        self._watcher = Watcher()
        self._removal = SpoolRemoval(spool, clock, take_out, label)
        self._label = label
        self._is_end = take_out is None
        self._shared = Shared(DeliveryState(self._sink, random, clock.busy_s, progress))
        self._carry_out = self._make_carry_out()
        self._pickup = Pickup(spool, self._shared, self._watcher, self._removal, clock)
        self._unreadable = Condition(log)
        self._unwritable = Condition(log)
        self._unwatched = Condition(log)
        self._backlog = Backlog(spool, self._shared, self._removal, self._unreadable)
        self._heartbeats: deque[Heartbeat] = deque(maxlen=1)
        self._check_at_s = 0.0
        self._unpublished = True
        self._publish_at_s = 0.0
        self._fault: Exception | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        """Deliver until `stop`."""
        self._begin(self._clock.monotonic_s() + CHECK_INTERVAL_S)
        with self._carry_out:
            while not self._stopping.is_set():
                self.alive_at_s = self._clock.monotonic_s()
                if (pause_s := self._pause_s(self.alive_at_s)) > 0:
                    self._carry_out.finish()
                if self._unpublished and (pause_s > 0 or self.alive_at_s >= self._publish_at_s):
                    self._publish()
                self._turn(pause_s)
        self._end()

    def drain(self) -> None:
        """Try each record once, waiting for those that are still being written, then return."""
        with self._shared as state:
            state.each_once = True
            state.policy.max_aside = MAX_ASIDE_ONCE
        self._begin(math.inf)
        with self._carry_out:
            while True:
                now_s = self._clock.monotonic_s()
                pause_s = self._pause_s(now_s)
                with self._shared as state:
                    is_over = pause_s == math.inf or not state.policy.ready(now_s)
                if pause_s > 0:
                    self._carry_out.finish()
                if is_over and not self._workers.is_busy:
                    break
                self._turn(min(pause_s, CHECK_INTERVAL_S))
        self._end()

    def stop(self) -> None:
        """End `run` after the exchanges that are under way; from any thread."""
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
        """Send this heartbeat as soon as the sink is ready, unless a newer one comes first; from any thread."""
        self._heartbeats.append(heartbeat)
        self._watcher.wake()

    def _begin(self, check_at_s: float) -> None:
        self._check_at_s = check_at_s
        self._pickup.look_at_clock(self._clock.now())
        # After a reload the directory is one that was opened before, and nothing tells that it was deleted.
        self._reopen()
        self._watch()
        self._see_whether_writable()
        self._backlog.start()
        # The directory has one reading position: a scan that a stop left behind would take names from the next one's.
        while self._backlog.is_scanning and not self._stopping.is_set():
            self.alive_at_s = self._clock.monotonic_s()
            self._backlog.go_on()
        self.scanned.set()

    def _make_carry_out(self) -> CarryOut:
        return CarryOut(self._removal, self._shared, self._label, is_end=self._is_end)

    def _end(self) -> None:
        self._workers.close()
        self._sink.close()
        self._watcher.close()
        self._backlog.drop()

    def _turn(self, pause_s: float) -> None:
        """Wait for something to do, and do it."""
        events = self._watcher.wait(pause_s)
        if self._fault:
            raise self._fault
        now = self._clock.now()
        is_check_due = now.monotonic_s >= self._check_at_s
        if is_check_due or events.reopen:  # the spool may be another one after that
            self._carry_out.finish()
        self._note(events)
        if is_check_due:
            self._check(now)
        # Records first: they are a heartbeat, too, and a server that refuses the other kind must not stop them.
        if taken := self._pickup.take(now):
            self._unpublished = True
            with self._shared as state:
                connections = state.concurrency.connections if state.queue.has_backlog else None
            if connections:
                self._workers.resize(connections)
            self._deliver(taken, self._sink, self._carry_out)
        else:
            self._carry_out.finish()
            self._do_something_else(now)

    def _do_something_else(self, now: Moment) -> None:
        """No record is to be sent now: a piece of a scan, or a heartbeat."""
        with self._shared as state:
            is_ready = state.policy.ready(now.monotonic_s)
            is_scanning = self._backlog.is_scanning
            scan_is_due = not is_scanning and self._backlog.is_scan_due(state) and not state.queue.has_backlog
            is_idle = not is_scanning and not scan_is_due and not self._workers.is_busy
            if is_ready and scan_is_due:
                state.concurrency.interrupted()
            elif is_ready and is_idle:
                state.concurrency.restart()
        if not is_ready:
            self._workers.resize(1)
            return
        self._unpublished = True
        if is_scanning:
            self._backlog.go_on()
        elif scan_is_due:
            self._backlog.start()
        elif is_idle:
            self._workers.resize(1)
            if self._heartbeats:
                self._send_heartbeat(self._heartbeats.popleft())

    def _pause_s(self, now_s: float) -> float:
        """How long there is nothing to do unless something happens."""
        with self._shared as state:
            has_heartbeat = bool(self._heartbeats) and not self._workers.is_busy  # whose end wakes this thread
            has_work = has_heartbeat or self._backlog.is_scan_due(state) or self._backlog.is_scanning
            due_s = 0.0 if has_work else state.queue.due_s()
            retry_at_s = state.policy.retry_at_s
        wake_at_s = self._check_at_s if due_s is None else min(self._check_at_s, max(due_s, retry_at_s))
        return max(0.0, wake_at_s - now_s)

    def _note(self, events: Events) -> None:
        if events.completed or events.scan:
            with self._shared as state:
                for name in events.completed:
                    if is_record_name(name) and not state.queue.announce(name):
                        self._backlog.pass_over()
                if events.scan:
                    # What was said of a file may not hold any more: events are lost.
                    state.queue.doubt()
        if events.scan or events.reopen:
            self._backlog.want_scan()
        if events.reopen:
            self._reopen()
            self._watch()

    def _check(self, now: Moment) -> None:
        """Compare what is known with what is: the clock, the directory, its watch, its files."""
        self._check_at_s = now.monotonic_s + CHECK_INTERVAL_S
        self._pickup.look_at_clock(now)
        if self._removal.retry():
            self._check_at_s = now.monotonic_s
            return
        self._reopen()
        self._see_whether_writable()
        if self._unwatched.text:
            self._watch()
        gone = [name for name in list(self.progress.stuck) if not self._spool.has(name)]
        with self._shared as state:
            for name in gone:
                state.progress.stuck.pop(name, None)
        self._backlog.want_scan()
        self._unpublished = True

    def _see_whether_writable(self) -> None:
        if self._spool.is_writable():
            self._unwritable.end()
        else:
            problem = f"{self._spool.path} is read-only for this user: what is delivered cannot be removed"
            self._unwritable.begin(problem, f"{problem}; make it writable (mount -o remount,rw, or chown)")

    def _reopen(self) -> None:
        before = self._spool.place()
        try:
            replaced = self._spool.reopen_if_replaced()
        except (SpoolError, SpoolInUseError) as error:
            self._unreadable.begin(str(error), f"{error}; going on with the directory that was there")
            if self._check_at_s != math.inf:
                self._check_at_s = min(self._check_at_s, self._clock.monotonic_s() + REOPEN_INTERVAL_S)
            return
        self._unreadable.end()
        if replaced:
            log.warning("%s was replaced; going on with the new one", self._spool.path)
            if before is not None:
                log_left_behind(before)
            with self._shared as state:
                state.queue.clear()
                state.progress.stuck.clear()
            self._removal.clear()
            self._backlog.drop()
            self._watch()
            self._backlog.want_scan()

    def _watch(self) -> None:
        self._watcher.watch(self._spool.fd)
        with self._shared as state:
            # What happens between two watches is not told.
            state.queue.doubt()
        if self._watcher.problem:
            problem = self._watcher.problem
            self._unwatched.begin(problem, f"{problem}; looking into the spool every {CHECK_INTERVAL_S:.0f} s instead")
        else:
            self._unwatched.end()

    def _deliver(self, taken: list[PendingRecord], sink: Sink, carry_out: CarryOut) -> None:
        started_s = self._clock.monotonic_s()
        # A record that stands there under several names is sent once, and each of them has its verdict.
        records = list(dict.fromkeys([pending.record for pending in taken]))
        verdicts = sink.send(records, carry_out.finish)
        if len(records) < len(taken):
            answered = dict(zip(records, verdicts, strict=True))
            verdicts = [answered[pending.record] for pending in taken]
        now = self._clock.now()
        with self._shared as state:
            fates = settle(state, taken, verdicts, now)
        if not self._stopping.is_set():  # an exchange that failed because of a stop is nobody's news
            log_news(fates.news, self._label)
        carry_out.leave(fates, (now.monotonic_s - started_s) * 1000)

    def _send_heartbeat(self, heartbeat: Heartbeat) -> None:
        (verdict,) = self._sink.send([heartbeat])
        now = self._clock.now()
        with self._shared as state:
            news = settle_heartbeat(state, verdict, now)
        if not self._stopping.is_set():
            log_news(news, self._label)

    def _help(self, sink: Sink, number: int) -> None:
        """Carry the backlog beside the others, as long as there is one and so many are wanted."""
        with self._make_carry_out() as carry_out:
            while taken := self._take_beside(number):
                self._deliver(taken, sink, carry_out)

    def _take_beside(self, number: int) -> list[PendingRecord]:
        now = self._clock.now()
        with self._shared as state:
            is_wanted = number < state.concurrency.connections and state.queue.has_backlog
        return self._pickup.take(now) if is_wanted and not self._stopping.is_set() else []

    def _helped(self, fault: Exception | None) -> None:
        self._fault = self._fault or fault
        self._watcher.wake()

    def _publish(self) -> None:
        self._unpublished = False
        self._publish_at_s = self._clock.monotonic_s() + PUBLISH_INTERVAL_S
        with self._shared as state:
            state.progress.waiting = state.waiting + self._backlog.not_queued
            state.progress.link = state.policy.state
            state.progress.link_reason = state.policy.reason
            state.progress.spool_problem = self._unreadable.text or self._removal.problem or self._unwritable.text
            state.progress.watch_problem = self._unwatched.text
        self._changed()


def log_left_behind(spool: Path) -> None:
    """Tell what waits in ``spool``, which is not delivered from any more."""
    with suppress(SpoolError):  # it is gone, and what was in it too
        if waiting := count_waiting(spool):
            where = printable(str(spool))
            log.warning("%d waiting in %s, from where nothing is delivered any more: move them over", waiting, where)
