"""A stop during the first scan of a spool that holds very much."""

import threading

import pytest

from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.spool.directory import Spool
from kegnet_client.spool.scan import Scanner

from ..support.sink import MemorySink

TIMEOUT_S = 20.0


def test_a_stop_does_not_wait_for_the_first_scan_which_proves_to_be_alive(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = threading.Semaphore(0)
    looks = threading.Semaphore(0)

    def look(_self: Scanner, _entries: int) -> bool:
        looks.release()
        assert pieces.acquire(timeout=TIMEOUT_S)
        return True

    monkeypatch.setattr(Scanner, "look", look)
    uploader = Uploader(spool, MemorySink, Clock(), lambda: 0.5, Progress())
    thread = threading.Thread(target=uploader.run, daemon=True)
    thread.start()
    alive: set[float] = set()
    for _ in range(3):
        assert looks.acquire(timeout=TIMEOUT_S)
        alive.add(uploader.alive_at_s)
        pieces.release()
    assert len(alive) == 3

    uploader.stop()
    pieces.release()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()
