"""The scans of the spool: in pieces, because a hundred thousand files take most of a second.

For one thread. A scan replaces nothing: its names go behind those that wait already.
"""

import logging

from kegnet_client.delivery.pickup import log_stuck
from kegnet_client.delivery.state import DeliveryState, Shared
from kegnet_client.host.condition import Condition
from kegnet_client.spool.directory import Spool, explain
from kegnet_client.spool.removal import SpoolRemoval
from kegnet_client.spool.scan import Scanner

log = logging.getLogger(__name__)

MAX_BACKLOG = 32768
"""How many names one scan brings: enough that a large backlog is not scanned too often for what it costs."""
SCAN_PIECE = 1024
"""How many names are looked at before the next look at what was announced."""


class Backlog:
    """Brings what stands in ``spool`` into the queue. ``not_queued`` is how many records no queue has room for."""

    def __init__(self, spool: Spool, shared: Shared, removal: SpoolRemoval, unreadable: Condition) -> None:
        self.not_queued = 0
        self._spool = spool
        self._shared = shared
        self._removal = removal
        self._unreadable = unreadable
        self._scanner: Scanner | None = None
        self._wanted = False
        self._gone_at_scan = 0

    @property
    def is_scanning(self) -> bool:
        """Whether a scan is under way."""
        return self._scanner is not None

    def want_scan(self) -> None:
        """Something may stand in the spool that no queue knows of."""
        self._wanted = True

    def pass_over(self) -> None:
        """A name was announced and found no room."""
        self.not_queued += 1
        self._wanted = True

    def is_scan_due(self, state: DeliveryState) -> bool:
        """Whether a scan would bring something."""
        return self._wanted or (self.not_queued > 0 and _gone(state) > self._gone_at_scan)

    def start(self) -> None:
        """Begin a scan."""
        self.drop()
        self._wanted = False
        with self._shared as state:
            known = state.known() | state.progress.stuck.keys()
        try:
            self._scanner = Scanner(self._spool.fd, MAX_BACKLOG, known | self._removal.pending())
        except OSError as error:
            self._fail(error)

    def go_on(self) -> None:
        """Look at one more piece; at the end of the directory its names are queued."""
        if self._scanner is None:
            return
        try:
            if self._scanner.look(SCAN_PIECE):
                return
            scan = self._scanner.finish()
        except OSError as error:
            self._fail(error)
        else:
            with self._shared as state:
                # The stuck ones take no place from the others and have another look at the end.
                state.queue.refill([*scan.oldest, *state.progress.stuck])
                stuck = state.stick(scan.stuck)
                self._gone_at_scan = _gone(state)
            self.not_queued = scan.more
            log_stuck(stuck)
        self.drop()

    def drop(self) -> None:
        """Give up the scan that is under way."""
        if self._scanner:
            self._scanner.close()
            self._scanner = None

    def _fail(self, error: OSError) -> None:
        problem = f"{self._spool.path}: {explain(error)}"
        self._unreadable.begin(problem, key=problem, level=logging.ERROR)
        self.not_queued = 0


def _gone(state: DeliveryState) -> int:
    """How many records have left the spool."""
    return state.progress.accepted + state.progress.rejected
