"""An uploader at work."""

import threading
from collections.abc import Iterator

import pytest

from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.spool.directory import Spool

from ...support.waits import WAIT_S
from .rig import Run, Server


@pytest.fixture
def run(spool: Spool) -> Iterator[Run]:
    """``run(server)`` is an uploader at work, until the end of the test."""
    started: list[tuple[Uploader, threading.Thread]] = []

    def start(server: Server) -> Uploader:
        uploader = Uploader(spool, server.connect, Clock(), lambda: 0.5, Progress())
        thread = threading.Thread(target=uploader.run, daemon=True)
        thread.start()
        started.append((uploader, thread))
        assert uploader.scanned.wait(WAIT_S)
        return uploader

    yield start
    for uploader, thread in started:
        uploader.stop()
        thread.join(WAIT_S)
        assert not thread.is_alive()
