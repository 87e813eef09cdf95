"""One configuration's delivery: key, server, spool and the uploader's thread, from start to end."""

import random
import threading
from collections.abc import Callable, Mapping

from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.kegnet_section import KegNetSettings
from kegnet_client.sinks.open import connect, find_identity
from kegnet_client.spool.directory import Spool

FINISH_S = 1.0
"""How long a stop waits for the exchange that is under way before it breaks it off."""
ABORT_S = 0.5


class Engine:
    """Delivers from ``spool``, which is locked, once it is started. Raises `ConfigError` when it cannot be.

    ``guard`` runs the uploader's work and sees to faults of our own; ``changed`` is called when ``progress`` has
    changed.
    """

    def __init__(
        self,
        settings: KegNetSettings,
        spool: Spool,
        environ: Mapping[str, str],
        clock: Clock,
        progress: Progress,
        changed: Callable[[], None],
        guard: Callable[[Callable[[], object]], object],
    ) -> None:
        self.spool = spool
        self.server = settings.base.url
        self._device = settings.uuid
        identity = find_identity(settings, environ)
        self.key = identity.fingerprint
        self.uploader = Uploader(spool, connect(settings, clock, identity), clock, random.random, progress, changed)
        self._thread = threading.Thread(target=guard, args=(self.uploader.run,), name="uploader", daemon=True)

    def __str__(self) -> str:
        return f"delivers from {self.spool.path} to {self.server} as {self._device}"

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
