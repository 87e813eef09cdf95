"""The outermost frame of a service's threads: a fault of our own ends the process, and says so."""

import logging
import signal
import threading
from collections.abc import Callable

from kegnet_client.host.log import CRASHED_ID

EXIT_CRASHED = 70


class CrashGuard:
    """Runs what must not end by itself. Made in the main thread, which waits for SIGTERM and is sent it after a fault.

    ``consequence`` says in the log what the fault means for whoever reads it.
    """

    def __init__(self, log: logging.Logger, consequence: str) -> None:
        self.exit_code = 0
        """`EXIT_CRASHED` after a fault."""
        self._log = log
        self._consequence = consequence
        self._main = threading.get_ident()

    def __call__(self, work: Callable[[], object]) -> None:
        """Do ``work``."""
        try:
            work()
        except Exception:  # a thread's outermost frame: what it does not tell, nobody hears of
            self._log.exception(
                "a fault in kegnet-client itself, please report it; %s",
                self._consequence,
                extra={"MESSAGE_ID": CRASHED_ID},
            )
            self.exit_code = EXIT_CRASHED
            signal.pthread_kill(self._main, signal.SIGTERM)
