"""The uploader in its thread, a real spool, real inotify, and a server that does what a test says. Only time is not
real: it passes when a test lets it."""

import errno
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from kegnet_client.core.records import Heartbeat, Pour, Record, format_record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.spool.directory import Spool, SpoolFile
from kegnet_client.spool.rejected import list_rejected

from ..support.clock import FakeClock
from ..support.sink import MemorySink

NOW_MS = 1_800_000_000_000
YEAR_S = 365 * 24 * 3600.0
TIMEOUT_S = 20.0

Answer = Callable[[Record | Heartbeat], Verdict]

ACCEPTED = Verdict(Disposition.ACCEPTED, "the server answered 200", 200)
NO_ROUTE = Verdict(Disposition.DEFERRED, "no route")
BROKEN = Verdict(Disposition.DEFERRED, "the server answered 500", 500, record_may_be_the_cause=True)
REFUSED = Verdict(Disposition.REJECTED, "the server answered 400", 400)
FORBIDDEN = Verdict(Disposition.MISCONFIGURED, "the server answered 403: register", 403)

SLOW_LINE = b"0,1200,1000,1800000000000"
SLOW_PREFIX = SLOW_LINE[:-3]
"""A record too, in an old producer's seconds."""


def pour(number: int) -> Pour:
    return Pour(pin=0, pulses=number, elapsed_ms=1000, started_ms=NOW_MS)


def line(number: int) -> bytes:
    return format_record(pour(number))


class Rig:
    """An `Uploader` at work on ``spool``, and the server that it sends to."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.clock = FakeClock(NOW_MS)
        self.progress = Progress()
        self.answer: Answer = lambda _: ACCEPTED
        self.tries: list[tuple[float, Record]] = []
        self.heartbeats: list[int] = []
        self.accepted: list[Record] = []
        self._told = False
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self.uploader = Uploader(
            spool, lambda: MemorySink(self._judge), self.clock, lambda: 0.5, self.progress, self._publish
        )
        self._thread = threading.Thread(target=self.uploader.run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self.uploader.scanned.wait(TIMEOUT_S)

    def stop(self) -> None:
        if self._thread.ident is not None:
            self.uploader.stop()
            self._thread.join(TIMEOUT_S)
            assert not self._thread.is_alive()

    def put(self, name: str, data: bytes, age_s: float = 0.0) -> None:
        """Rename a file into place."""
        temp = self.spool.path / ".put.tmp"
        temp.write_bytes(data)
        os.utime(temp, ns=(self.clock.mtime_ns(age_s),) * 2)
        temp.rename(self.spool.path / name)

    def wait_for(self, what: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(what, TIMEOUT_S), (self.tries, self.progress)

    def wait_for_tries(self, number: int) -> None:
        self.wait_for(lambda: len(self.tries) >= number)

    def idle(self) -> None:
        """Wait until nothing is left to do at this time. For a link that is ready: heartbeats come after all
        records, and with a clock that stands still only an uploader with nothing to do publishes twice."""
        for _ in range(2):
            self._beat()

    def _beat(self) -> None:
        number = next(self._numbers)
        self.uploader.heartbeat(Heartbeat(number))
        self.wait_for(lambda: self._told and number in self.heartbeats)

    def look(self) -> None:
        """Wait until the uploader has gone round at this time, also if its link is not ready."""
        for _ in range(2):
            self.clock.now_s += 0.001
            self.uploader.nudge()
            deadline_s = time.monotonic() + TIMEOUT_S
            while self.uploader.alive_at_s != self.clock.now_s:
                assert time.monotonic() < deadline_s
                threading.Event().wait(0.0005)

    def pass_time(self, seconds: float) -> None:
        """Let time pass while nothing is to be sent to a server that takes records."""
        self.clock.now_s += seconds
        self.idle()

    def pass_time_waiting(self, seconds: float) -> None:
        """Let time pass while the link is not ready."""
        self.clock.now_s += seconds
        self.look()

    def numbers(self) -> list[int]:
        """The pours that were accepted, in order."""
        return [record.pulses for record in self.accepted if isinstance(record, Pour)]

    def tried(self) -> list[int]:
        return [record.pulses for _, record in self.tries if isinstance(record, Pour)]

    def rejected(self) -> dict[str, str]:
        return {one.name: one.reason.split(" ", 1)[1] for one in list_rejected(self.spool.path)}

    def _judge(self, records: Sequence[Record | Heartbeat]) -> list[Verdict]:
        return [self._send(record) for record in records]

    def _send(self, record: Record | Heartbeat) -> Verdict:
        if isinstance(record, Heartbeat):
            verdict = self.answer(record)
            with self._changed:
                self.heartbeats.append(record.at_ms)
                self._told = False
                self._changed.notify_all()
            return verdict
        with self._changed:
            self.tries.append((self.clock.now_s, record))
            self._changed.notify_all()
        verdict = self.answer(record)
        with self._changed:
            if verdict.disposition is Disposition.ACCEPTED:
                self.accepted.append(record)
            self._changed.notify_all()
        return verdict

    def _publish(self) -> None:
        with self._changed:
            self._told = True
            self._changed.notify_all()


class Stubborn(Spool):
    """Does not let go of one of its files."""

    def remove(self, file: SpoolFile) -> bool:
        if file.name == "stubborn.pour":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return super().remove(file)


class Gate:
    """A server that takes its time: it answers when the test says so."""

    def __init__(self, verdict: Verdict = ACCEPTED) -> None:
        self.verdict = verdict
        self.opened = threading.Event()

    def __call__(self, _record: Record | Heartbeat) -> Verdict:
        assert self.opened.wait(TIMEOUT_S)
        return self.verdict


def script(*verdicts: Verdict) -> Answer:
    """Answers to records one after the other, and then for ever the last one; heartbeats are always taken."""
    remaining = list(verdicts)

    def answer(record: Record | Heartbeat) -> Verdict:
        if isinstance(record, Heartbeat):
            return ACCEPTED
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    return answer


def always(verdict: Verdict) -> Answer:
    return lambda _: verdict


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]
