"""The one place where records leave the spool: removed once acknowledged, moved once rejected.

Where the directory cannot be changed (a read-only remount, a full disk) the decision is remembered, so that
nothing is sent twice for it, and carried out when it can be. A restart forgets it; the record is sent again
then, and the server stores it once.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.host.log import REJECTED_ID, SPOOL_UNCHANGEABLE_ID
from kegnet_client.spool.directory import REJECTED, Spool, SpoolFile, explain, printable
from kegnet_client.spool.rejected import explain_rejected, reject

log = logging.getLogger(__name__)

TakeOut = Callable[[Sequence[SpoolFile]], list[bool | OSError]]
"""Of each file: whether it stood there and is taken out, or why that cannot be done now."""

RETRY_S = 0.5
"""How long at a time what could not be done is done: a rejection takes a few syncs of the disk."""


@dataclass(frozen=True, slots=True)
class _Decision:
    file: SpoolFile
    """Condensed: a read-only disk with a large backlog must not fill the memory."""
    reason: str | None
    """Why it is rejected; None when it is acknowledged."""


class SpoolRemoval:
    """Takes files out of ``spool``; ``problem`` says why it cannot at the moment, if so. For any thread.

    ``take_out`` is what becomes of those that are acknowledged, if they are not just removed. ``label`` goes before
    what the log says of a record.
    """

    def __init__(self, spool: Spool, clock: Clock, take_out: TakeOut | None = None, label: str = "") -> None:
        self._spool = spool
        self._take_out = take_out or self._remove_each
        self._label = label
        self._clock = clock
        self._lock = threading.Lock()
        """Around ``_pending`` alone, never around what waits for a disk."""
        self._pending: dict[str, _Decision] = {}
        self._unchangeable = Condition(log)

    @property
    def problem(self) -> str | None:
        """Why the spool cannot be changed."""
        return self._unchangeable.text

    def remove(self, *files: SpoolFile) -> None:
        """The server has the records in ``files``."""
        fates = [self._judge(went, None) for went in self._take_out(files)]
        with self._lock:
            for file, fate in zip(files, fates, strict=True):
                self._note(file, None, fate)

    def reject(self, file: SpoolFile, reason: str) -> bool:
        """The record in ``file`` will never be taken, or is none. False when another stands there by now."""
        name = printable(file.name)
        fate = self._decide(file, reason)
        if fate is _Fate.ANOTHER:
            return False
        where = "is kept in rejected/" if fate is _Fate.DONE else "stays in the spool until it can be moved"
        extra = {"KEGNET_FILE": name, "MESSAGE_ID": REJECTED_ID}
        log.warning("%srejected %s: %s; it %s", self._label, name, reason, where, extra=extra)
        return True

    def is_decided(self, file: SpoolFile) -> bool:
        """Whether ``file`` stands in the spool only because it could not be taken out."""
        with self._lock:
            decision = self._pending.get(file.name)
        return decision is not None and decision.file == file.condensed()

    def pending(self) -> set[str]:
        """The names of the files that are decided and could not be taken out."""
        with self._lock:
            return set(self._pending)

    def retry(self) -> bool:
        """Carry out what could not be done before, for `RETRY_S` at most; whether it pays to go on at once."""
        until_s = self._clock.monotonic_s() + RETRY_S
        went = is_over = False
        with self._lock:
            decisions = dict(self._pending)
        for name, decision in decisions.items():
            fate = self._carry_out(decision.file, decision.reason)
            went |= fate is not _Fate.NOT_NOW
            with self._lock:
                if self._pending.get(name) is decision:  # else another thread decided anew of that name meanwhile
                    del self._pending[name]
                    if fate is _Fate.NOT_NOW:
                        self._pending[name] = decision  # behind the others
            if is_over := self._clock.monotonic_s() >= until_s:
                break
        left = bool(self.pending())
        if not left:
            self._unchangeable.end("the spool can be changed again", level=logging.WARNING)
        return went and is_over and left

    def clear(self) -> None:
        """The spool is another one now."""
        with self._lock:
            self._pending.clear()
        self._unchangeable.end()

    def _decide(self, file: SpoolFile, reason: str) -> "_Fate":
        fate = self._carry_out(file, reason)
        with self._lock:
            self._note(file, reason, fate)
        return fate

    def _note(self, file: SpoolFile, reason: str | None, fate: "_Fate") -> None:
        """Under the lock."""
        if fate is _Fate.NOT_NOW:
            self._pending[file.name] = _Decision(file.condensed(), reason)
        else:
            self._pending.pop(file.name, None)

    def _carry_out(self, file: SpoolFile, reason: str | None) -> "_Fate":
        if reason is None:
            (went,) = self._take_out([file])
        else:
            try:
                went = reject(self._spool, file, reason, self._clock.wall_ms()) is not None
            except OSError as error:
                went = error
        return self._judge(went, reason)

    def _remove_each(self, files: Sequence[SpoolFile]) -> list[bool | OSError]:
        fates: list[bool | OSError] = []
        for file in files:
            try:
                fates.append(self._spool.remove(file))
            except OSError as error:
                fates.append(error)
        return fates

    def _judge(self, went: bool | OSError, reason: str | None) -> "_Fate":
        if isinstance(went, OSError):
            where = self._spool.path / ("" if reason is None else REJECTED)
            why = explain(went) if reason is None else explain_rejected(went)
            problem = f"{where} cannot be changed: {why}"
            self._unchangeable.begin(
                problem,
                f"{problem}; what is decided stays in the spool and is not sent again until a restart",
                level=logging.ERROR,
                extra={"MESSAGE_ID": SPOOL_UNCHANGEABLE_ID},
            )
            return _Fate.NOT_NOW
        return _Fate.DONE if went else _Fate.ANOTHER


class _Fate(Enum):
    DONE = "taken out"
    ANOTHER = "something else stands there by now, or nothing"
    NOT_NOW = "the disk refuses"
