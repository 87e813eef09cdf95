"""A producer that wrote nothing but nonsense for a long time: a real spool, on a disk whose syncs take time."""

import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pytest

from kegnet_client.core.records import Pour
from kegnet_client.delivery import backlog, pickup
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.spool.directory import Spool, enqueue
from kegnet_client.spool.removal import SpoolRemoval
from kegnet_client.spool.scan import Scanner

from ..support.sink import MemorySink
from ..support.waits import wait_until

TIMEOUT_S = 20.0
NOW_MS = 1_800_000_000_000
BAD = 3000


@contextmanager
def at_work(spool: Spool, sink: MemorySink) -> Iterator[Uploader]:
    at = Uploader(spool, lambda: sink, Clock(), lambda: 0.5, Progress())
    thread = threading.Thread(target=at.run, daemon=True)
    thread.start()
    assert at.scanned.wait(TIMEOUT_S)
    yield at
    at.stop()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def test_thousands_of_bad_files_hold_up_neither_a_fresh_pour_nor_the_watchdog_nor_the_stop(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: time.sleep(0.005))
    for number in range(BAD):
        (spool.path / f"{number}.pour").write_bytes(b"nonsense\n")
    sink = MemorySink(max_records=500)
    with at_work(spool, sink) as at:
        enqueue(spool.path, Pour(0, 100, 1000, NOW_MS))
        assert sink.asked.wait(TIMEOUT_S)
        before_s = at.alive_at_s
        wait_until(lambda: at.alive_at_s > before_s, "it does not show that it is alive", TIMEOUT_S)

    assert 0 < at.progress.rejected < BAD


def test_thousands_that_could_not_be_put_aside_hold_up_nobody_once_they_can_be(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = spool.path / "rejected"
    in_the_way.touch()
    for number in range(BAD):
        (spool.path / f"{number}.pour").write_bytes(b"nonsense\n")
    removal = SpoolRemoval(spool, Clock())
    for number in range(BAD):
        removal.reject(spool.read(f"{number}.pour"), "nonsense")
    assert len(removal.pending()) == BAD
    in_the_way.unlink()
    monkeypatch.setattr(os, "fsync", lambda _: time.sleep(0.005))

    started_s = time.monotonic()
    assert removal.retry(), "there is more to do"
    assert time.monotonic() - started_s < 5
    assert 0 < len(removal.pending()) < BAD


def test_the_spool_is_not_searched_again_before_what_was_found_is_done_with(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: time.sleep(0.001))
    monkeypatch.setattr(pickup, "LOOK_S", 0.01)
    monkeypatch.setattr(backlog, "MAX_BACKLOG", 50)
    scans = 0

    def count(spool_fd: int, limit: int, known: Collection[str]) -> Scanner:
        nonlocal scans
        scans += 1
        return Scanner(spool_fd, limit, known)

    monkeypatch.setattr(backlog, "Scanner", count)
    for number in range(150):
        (spool.path / f"{number}.pour").write_bytes(b"nonsense\n")
    with at_work(spool, MemorySink(max_records=500)) as at:
        wait_until(lambda: at.progress.rejected == 150, "not all are rejected", TIMEOUT_S)

    assert scans <= 150 / 50 + 1
