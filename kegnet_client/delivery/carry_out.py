"""What an answer asks for: its accepted records leave the spool, its rejected ones are moved, and the log says so.

It is done at once where no other request follows, and else while the next one waits for its answer. Until then the
records are still under way, so nobody sends them again. After a kill before that they stand in the spool still and are
sent once more, as after a kill in the middle of a removal.
"""

from typing import Self

from kegnet_client.delivery.outcome import Fates, log_delivered
from kegnet_client.delivery.state import Shared
from kegnet_client.spool.removal import SpoolRemoval


class CarryOut:
    """For one thread: `leave` the fates of an answer's records, and `finish` them before that thread pauses.

    The end of a ``with`` finishes them, too: a fault before the next request must not have them sent again.

    With ``is_end`` what is taken out is delivered, and logged so with ``label`` before it.
    """

    def __init__(self, removal: SpoolRemoval, shared: Shared, label: str, *, is_end: bool) -> None:
        self._removal = removal
        self._shared = shared
        self._label = label
        self._is_end = is_end
        self._left: tuple[Fates, float] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def leave(self, fates: Fates, elapsed_ms: float) -> None:
        """Keep these of a request that took ``elapsed_ms``; those of the request before it are finished by now."""
        self._left = fates, elapsed_ms

    def finish(self) -> None:
        """Do what is left to do, if anything is."""
        if self._left is None:
            return
        (fates, elapsed_ms), self._left = self._left, None
        self._removal.remove(*(pending.file for pending in fates.accepted))
        rejected = sum(self._removal.reject(pending.file, reason) for pending, reason in fates.rejected)
        with self._shared as state:
            state.progress.rejected += rejected
            state.done([pending.entry.name for pending in fates.accepted])
            state.done([pending.entry.name for pending, _ in fates.rejected])
        if self._is_end:
            log_delivered(fates, elapsed_ms, self._label)
