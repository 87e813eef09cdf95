"""How much strangers can write into the hub's log: so many lines a minute, and one that sums up the rest.

A sender costs nothing to make up, so what is told once of each sender is still told without end. Each kind of line
has a rate of its own, whoever causes it. The lines of libraries pass as a `logging.Filter` on their loggers.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable

PERIOD_S = 60.0

REFUSED = "requests refused"
PUSHED_OUT = "connections ended to make room"
NOT_ACCEPTED = "times that no connection could be taken"
NOT_HTTP = "requests that are not HTTP or ask for what there is not"
OTHER = "errors of a connection"

LINES = {REFUSED: 20, PUSHED_OUT: 1, NOT_ACCEPTED: 1, NOT_HTTP: 5, OTHER: 5}
LOGGERS = {"uvicorn.error": NOT_HTTP, "asyncio": OTHER}

_log = logging.getLogger(__name__)


class LogRate(logging.Filter):
    """The rates of one hub. To be used by the event loop alone."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._since_s = clock_s()
        self._written: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    def allows(self, kind: str) -> bool:
        """Whether one more line of ``kind`` may be written now; if not, it is counted."""
        self.sum_up_when_due()
        if self._written[kind] < LINES[kind]:
            self._written[kind] += 1
            return True
        self._left_out[kind] += 1
        return False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line of a library may be written."""
        return record.levelno < logging.WARNING or self.allows(LOGGERS.get(record.name, OTHER))

    def sum_up_when_due(self) -> None:
        """Once a period: write how many lines were left out, if any were."""
        if self._clock_s() - self._since_s >= PERIOD_S:
            self.sum_up()

    def sum_up(self) -> None:
        """Write how many lines were left out, if any were, and begin anew."""
        left_out = ", ".join(f"{count} {kind}" for kind, count in self._left_out.items())
        self._since_s = self._clock_s()
        self._written.clear()
        self._left_out.clear()
        if left_out:
            _log.warning("not told one by one in the last minute: %s", left_out)

    def attach(self) -> None:
        """From now on the libraries' lines pass here."""
        for name in LOGGERS:
            logging.getLogger(name).addFilter(self)

    def detach(self) -> None:
        """They do not any more."""
        for name in LOGGERS:
            logging.getLogger(name).removeFilter(self)
