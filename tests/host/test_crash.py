"""A fault of our own in a thread ends its process, with its own exit code and a line that can be found."""

import logging
import signal
import threading
from collections.abc import Iterator

import pytest

from kegnet_client.host.crash import EXIT_CRASHED, CrashGuard
from kegnet_client.host.log import CRASHED_ID

from ..support.waits import WAIT_S

log = logging.getLogger("crash")


@pytest.fixture(autouse=True)
def _blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_fault_in_a_thread_ends_the_process_loudly(caplog: pytest.LogCaptureFixture) -> None:
    guard = CrashGuard(log, "the bar is closed")
    threading.Thread(target=guard, args=(lambda: [][0],)).start()

    caught = signal.sigtimedwait({signal.SIGTERM}, WAIT_S)
    assert caught is not None
    assert guard.exit_code == EXIT_CRASHED
    (record,) = caplog.records
    assert record.getMessage() == "a fault in kegnet-client itself, please report it; the bar is closed"
    assert record.__dict__["MESSAGE_ID"] == CRASHED_ID
    assert record.exc_info is not None


def test_work_that_ends_well_ends_nothing() -> None:
    guard = CrashGuard(log, "the bar is closed")
    guard(lambda: None)
    assert guard.exit_code == 0
    assert signal.sigtimedwait({signal.SIGTERM}, 0) is None
