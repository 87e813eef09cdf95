"""The one place where records leave the spool: removed once acknowledged, moved once rejected.

Where the directory cannot be changed (a read-only remount, a full disk) the decision is remembered, so that
nothing is sent twice for it, and carried out when it can be. A restart forgets it; the record is sent again
then, and the server stores it once.
"""

import logging
from dataclasses import dataclass, replace

from kegnet_client.host.clock import Clock
from kegnet_client.host.log import REJECTED_ID, SPOOL_UNCHANGEABLE_ID
from kegnet_client.spool.directory import REJECTED, Spool, SpoolFile, explain, printable
from kegnet_client.spool.rejected import explain_rejected, reject

log = logging.getLogger(__name__)

RETRY_S = 0.5
"""How long at a time what could not be done is done: a rejection takes a few syncs of the disk."""


@dataclass(frozen=True, slots=True)
class _Decision:
    file: SpoolFile
    """Without its data: a read-only disk with a large backlog must not fill the memory."""
    reason: str | None
    """Why it is rejected; None when it is acknowledged."""


class SpoolRemoval:
    """Takes files out of ``spool``; ``problem`` says why it cannot at the moment, if so."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._pending: dict[str, _Decision] = {}
        self.problem: str | None = None

    def remove(self, file: SpoolFile) -> None:
        """The server has the record in ``file``."""
        self._decide(file, None)

    def reject(self, file: SpoolFile, reason: str) -> None:
        """The record in ``file`` will never be taken, or is none."""
        name = printable(file.name)
        extra = {"KEGNET_FILE": name, "MESSAGE_ID": REJECTED_ID}
        where = "is kept in rejected/" if self._decide(file, reason) else "stays in the spool until it can be moved"
        log.warning("rejected %s: %s; it %s", name, reason, where, extra=extra)

    def is_decided(self, file: SpoolFile) -> bool:
        """Whether ``file`` stands in the spool only because it could not be taken out."""
        decision = self._pending.get(file.name)
        return decision is not None and decision.file == file

    def pending(self) -> set[str]:
        """The names of the files that are decided and could not be taken out."""
        return set(self._pending)

    def retry(self) -> bool:
        """Carry out what could not be done before, for `RETRY_S` at most; whether it pays to go on at once."""
        until_s = self._clock.monotonic_s() + RETRY_S
        went = is_over = False
        for name, decision in list(self._pending.items()):
            del self._pending[name]
            if self._carry_out(decision.file, decision.reason):
                went = True
            else:
                self._pending[name] = decision  # behind the others
            if is_over := self._clock.monotonic_s() >= until_s:
                break
        if self.problem and not self._pending:
            self.problem = None
            log.warning("the spool can be changed again")
        return went and is_over and bool(self._pending)

    def clear(self) -> None:
        """The spool is another one now."""
        self._pending.clear()
        self.problem = None

    def _decide(self, file: SpoolFile, reason: str | None) -> bool:
        """Whether it could be done now."""
        if self._carry_out(file, reason):
            self._pending.pop(file.name, None)
            return True
        self._pending[file.name] = _Decision(replace(file, data=b""), reason)
        return False

    def _carry_out(self, file: SpoolFile, reason: str | None) -> bool:
        """Whether it could be done now."""
        try:
            if reason is None:
                self._spool.remove(file)
            else:
                reject(self._spool, file, reason, self._clock.wall_ms())
        except OSError as error:
            if not self.problem:
                where = self._spool.path / ("" if reason is None else REJECTED)
                why = explain(error) if reason is None else explain_rejected(error)
                self.problem = f"{where} cannot be changed: {why}"
                extra = {"MESSAGE_ID": SPOOL_UNCHANGEABLE_ID}
                log.error(
                    "%s; what is decided stays in the spool and is not sent again until a restart",
                    self.problem,
                    extra=extra,
                )
            return False
        return True
