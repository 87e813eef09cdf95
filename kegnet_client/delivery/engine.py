"""One configuration's delivery: sink, spool and the uploader's thread, from start to end."""

import random
import threading
from collections.abc import Callable

from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.destinations import Destination
from kegnet_client.spool.directory import Spool

FINISH_S = 1.0
"""How long a stop waits for the exchange that is under way before it breaks it off."""
ABORT_S = 0.5


class Engine:
    """Delivers from ``spool``, which is locked, to ``destination``, once it is started.

    ``guard`` runs the uploader's work and sees to faults of our own; ``changed`` is called when ``progress`` has
    changed.
    """

    def __init__(
        self,
        destination: Destination,
        spool: Spool,
        clock: Clock,
        progress: Progress,
        changed: Callable[[], None],
        guard: Callable[[Callable[[], object]], object],
    ) -> None:
        self.spool = spool
        self.destination = destination
        self.uploader = Uploader(spool, destination.connect, clock, random.random, progress, changed)
        self._thread = threading.Thread(target=guard, args=(self.uploader.run,), name="uploader", daemon=True)

    def __str__(self) -> str:
        return f"delivers from {self.spool.path} to {self.destination}"

    def start(self) -> None:
        """Deliver, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End within `FINISH_S` and `ABORT_S`; what hangs for longer is left behind and does no harm."""
        self.uploader.stop()
        self._thread.join(FINISH_S)
        if self._thread.is_alive():
            self.uploader.abort()
            self._thread.join(ABORT_S)

    def leave_spool(self) -> None:
        """Give up the spool after `stop`, once what was left behind cannot use it any more."""
        if self._thread.is_alive():
            threading.Thread(target=self._leave_spool_later, name="leaving", daemon=True).start()
        else:
            self.spool.close()

    def _leave_spool_later(self) -> None:
        self._thread.join()
        self.spool.close()
