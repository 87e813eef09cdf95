"""The feed of changes, in a thread that runs nothing: all of the database at the start, then each change as it comes.

It goes on where it was when the connection breaks or is silent for too long, and begins anew when it is told to. A
database that is away, refuses or talks nonsense is tried again, later each time.
"""

import logging
import threading
from collections.abc import Callable

from kegnet_client.core.errors import KegnetError
from kegnet_client.runner.couch import FILTER, Change, Couch

FIRST_RETRY_S = 1.0
MOST_RETRY_S = 60.0

_log = logging.getLogger(__name__)


class Feed:
    """Gives each change of ``couch`` to ``take``."""

    def __init__(self, couch: Couch, take: Callable[[Change], None]) -> None:
        self._couch = couch
        self._take = take
        self._since: object = 0
        self._again = threading.Event()
        self._problem = ""
        self._retry_s = FIRST_RETRY_S

    @property
    def problem(self) -> str:
        """Why there is no feed now; empty when there is."""
        return self._problem

    def resync(self) -> None:
        """Begin anew with the next heartbeat."""
        self._again.set()

    def run(self) -> None:
        """For ever; a thread's outermost frame."""
        pause = threading.Event()
        while True:
            try:
                self._follow()
                problem = "the feed ended"
            except KegnetError as error:
                problem = str(error)
            if problem != self._problem:
                _log.warning("%s; what runs goes on, and it is tried again", problem)
            self._problem = problem
            pause.wait(self._retry_s)
            self._retry_s = min(2 * self._retry_s, MOST_RETRY_S)

    def _follow(self) -> None:
        design = self._couch.get("_design/kegnet")
        has_filter = isinstance(design, dict) and FILTER.partition("/")[2] in design.get("filters", {})
        if self._again.is_set():
            self._again.clear()
            self._since = 0
        for change in self._couch.follow(self._since, {"filter": FILTER} if has_filter else {}):
            if self._problem:
                _log.info("the feed is there again")
            self._problem = ""
            self._retry_s = FIRST_RETRY_S
            if change is not None:
                self._take(change)
                self._since = change.sequence
            if self._again.is_set():
                return
