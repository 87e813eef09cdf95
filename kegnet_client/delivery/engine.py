"""One configuration's delivery: spool, sinks and the uploaders' threads, from start to end."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from kegnet_client.core.records import Heartbeat
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.sink_queues import SPREADING, SinkQueues
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.destinations import Destination
from kegnet_client.spool.directory import Spool

FINISH_S = 1.0
"""How long a stop waits for the exchange that is under way before it breaks it off."""
ABORT_S = 0.5


class Engine:
    """Delivers from ``spool``, which is locked, to ``destinations``, once it is started. Raises `SpoolError`.

    ``guard`` runs an uploader's work and sees to faults of our own; ``progress`` has what each did, by the sink's name;
    ``changed`` is called when any of it has changed.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        spool: Spool,
        clock: Clock,
        progress: defaultdict[str, Progress],
        changed: Callable[[], None],
        guard: Callable[[Callable[[], object]], object],
    ) -> None:
        self.spool = spool
        self.destinations = destinations
        self.uploaders: dict[str, Uploader] = {}
        """Those at work, by the sink's name; with several sinks one more for `SPREADING`."""
        self._queues = SinkQueues(spool, destinations)
        self._clock = clock
        self._progress = progress
        self._changed = changed
        self._guard = guard
        self._threads: list[threading.Thread] = []

    def __str__(self) -> str:
        return f"delivers from {self.spool.path} to {' and to '.join(map(str, self.destinations))}"

    @property
    def is_scanned(self) -> bool:
        """Whether all that waits was read for the first time."""
        return all(one.scanned.is_set() for one in self.uploaders.values())

    @property
    def alive_at_s(self) -> float:
        """When each had shown a heartbeat."""
        return min(one.alive_at_s for one in self.uploaders.values())

    def nudge(self) -> None:
        """Have each show one, if it can."""
        for uploader in self.uploaders.values():
            uploader.nudge()

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Have it sent to each sink."""
        for name, uploader in self.uploaders.items():
            if name != SPREADING:
                uploader.heartbeat(heartbeat)

    def start(self) -> None:
        """Deliver, in threads of its own. Whoever delivered from the spool before has stopped."""
        self.uploaders = self._queues.make_uploaders(self._clock, self._progress, self._changed)
        first = True
        for name, uploader in self.uploaders.items():
            work = self._begin if first else uploader.run
            first = False
            thread = threading.Thread(target=self._guard, args=(work,), name=f"uploader {name}".rstrip(), daemon=True)
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End within `FINISH_S` and `ABORT_S`; what hangs for longer is left behind and does no harm."""
        for uploader in self.uploaders.values():
            uploader.stop()
        self._join(FINISH_S)
        if self._is_at_work():
            for uploader in self.uploaders.values():
                uploader.abort()
            self._join(ABORT_S)

    def leave_queues(self) -> None:
        """Give up the queues after `stop`, once what was left behind cannot use them any more; the spool stays."""
        self._leave(self._queues.close)

    def leave_spool(self) -> None:
        """Give up the spool after `stop`, in the same way."""
        self._leave(self.spool.close)

    def _begin(self) -> None:
        """The work of the first one."""
        self._queues.recover()
        next(iter(self.uploaders.values())).run()

    def _join(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _is_at_work(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _leave(self, close: Callable[[], None]) -> None:
        if self._is_at_work():
            threading.Thread(target=self._leave_later, args=(close,), name="leaving", daemon=True).start()
        else:
            close()

    def _leave_later(self, close: Callable[[], None]) -> None:
        for thread in self._threads:
            thread.join()
        close()
