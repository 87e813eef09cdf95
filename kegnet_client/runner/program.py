"""One program: its versions, its process, and the way back to the last version that was good.

A new version is started beside the old one, which is told to quit then, and killed if it takes longer than `QUIT_S`;
where either has a device or a GPIO line, which two cannot share, the old one ends first. There are never more than
two: a third version waits. One that fails while the old one is still there may have missed what that one held: it is
started once more after it.

A version that ends with a failure within its probation is given up, and the last good one runs again; where there is
none, and after the probation, it is started again, later each time.
"""

import logging
import selectors
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kegnet_client.core.errors import RunnerError
from kegnet_client.host.clock import Clock
from kegnet_client.runner.box import SET_UP_S, Boxes
from kegnet_client.runner.couch import Document
from kegnet_client.runner.process import BoxedProcess, LineLog
from kegnet_client.runner.shelf import Shelf, StoredProgram
from kegnet_client.runner.statement import Statement

QUIT_S = 20.0
KILL_AGAIN_S = SET_UP_S
PROBATION_S = 30.0
FIRST_RETRY_S = 5.0
MOST_RETRY_S = 300.0
MOST_BROKEN = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all programs share. ``tell`` gets each line of a program, ``changed`` is called when its state is new."""

    boxes: Boxes
    selector: selectors.BaseSelector
    shelf: Shelf
    clock: Clock
    libraries: Callable[[str], Mapping[str, str]]
    """The global modules that a signer's programs may import."""
    refusal: Callable[[Statement, str], str | None]
    """Why what this signer signed may not run now. It is asked before each start, whatever the reason for that is."""
    tell: Callable[[str, str], None]
    changed: Callable[[], None]


class Program:
    """The program that ``stored`` keeps; it does not run until `start`."""

    def __init__(self, stored: StoredProgram, current: Statement, good: Statement | None, around: Surroundings) -> None:
        self.stored = stored
        self.current = current
        self._good = good
        self._around = around
        self._process: BoxedProcess | None = None
        self._leaving: BoxedProcess | None = None
        """The version before, which was told to quit."""
        self._leaving_due_s: float | None = None
        self._after: Callable[[], None] | None = None
        self._due_s: float | None = None
        self._time_up_s: float | None = None
        self._retry_s = FIRST_RETRY_S
        self._state = "stopped"
        self._note = ""
        self._last_exit = ""
        self._since_ms = around.clock.wall_ms()

    @property
    def is_running(self) -> bool:
        """Whether there is a process of it."""
        return self._process is not None or self._leaving is not None

    @property
    def due_s(self) -> float | None:
        """When `tick` has something to do, by the monotonic clock."""
        dues = (self._due_s, self._time_up_s, self._leaving_due_s)
        return min((one for one in dues if one is not None), default=None)

    def status(self) -> dict[str, Any]:
        """Its row for the device's document."""
        since = datetime.fromtimestamp(self._since_ms / 1000, UTC).isoformat(timespec="seconds")
        return {
            "id": self.stored.id,
            "name": self.stored.name,
            "signer": self.stored.signer,
            "sequence": self.current.sequence,
            "digest": self.current.digest[:12],
            "state": self._state,
            "since": since,
            "last_exit": self._last_exit,
            "note": self._note,
        }

    def replace(self, document: Document, statement: Statement) -> None:
        """Run this version from now on. Raises `OSError` when it cannot be kept, and changes nothing then."""
        before, self.stored.current = self.stored.current, document
        try:
            self._around.shelf.keep_program(self.stored)
        except OSError:
            self.stored.current = before
            raise
        shares = self.current.permissions.is_shareable and statement.permissions.is_shareable
        self.current = statement
        self._note = ""
        self._retry_s = FIRST_RETRY_S
        if shares and self._process is not None and self._leaving is None and self._after is None:
            self._start_beside(self._process)
        else:
            self.restart()

    def restart(self) -> None:
        """Run what is current, once what runs has ended."""
        self._end_then(self.start)

    def stop(self, state: str, note: str = "") -> None:
        """Run no more, and be in this ``state`` then."""

        def stopped() -> None:
            self._set(state, note)

        self._note = note
        self._end_then(stopped)

    def start(self) -> None:
        """Run what is current, if it may run now; a library runs nothing."""
        self._due_s = self._time_up_s = None
        if problem := self._around.refusal(self.current, self.stored.signer):
            _log.error("%s %d does not run: %s", self.stored.name, self.current.sequence, problem)
            self._set("refused", problem)
            return
        if not self.current.is_program:
            self._remember_good()
            self._set("library", self._note)
            return
        lines = LineLog(lambda line: self._around.tell(self.stored.name, line))
        try:
            process = self._around.boxes.start(
                {**self._around.libraries(self.stored.signer), **self.current.modules},
                (),
                self.current.permissions,
                self._around.shelf.state_of(self.stored),
            )
        except (RunnerError, OSError) as error:
            _log.error("%s %d: %s", self.stored.name, self.current.sequence, error)
            self._retry_later(str(error))
            return

        def ended(code: int) -> None:
            lines.end()
            self._ended(boxed, code)

        boxed = BoxedProcess(process, self._around.selector, lines.feed, lines.feed, ended)
        self._process = boxed
        now_s = self._around.clock.monotonic_s()
        self._due_s = now_s + PROBATION_S
        seconds = self.current.permissions.seconds
        self._time_up_s = None if seconds is None else now_s + seconds
        self._set("probation" if self._is_new() else "running", self._note)
        _log.info("%s %d of %s runs", self.stored.name, self.current.sequence, self.stored.signer)

    def tick(self, now_s: float) -> None:
        """Do what is due."""
        if self._time_up_s is not None and now_s >= self._time_up_s:
            self._time_up_s = None
            self.stop("finished", "its time was up")
        if self._leaving is not None and self._leaving_due_s is not None and now_s >= self._leaving_due_s:
            _log.warning(
                "the version of %s before %d did not quit and is killed", self.stored.name, self.current.sequence
            )
            self._leaving.kill()
            self._leaving_due_s = now_s + KILL_AGAIN_S
        if self._due_s is None or now_s < self._due_s:
            return
        self._due_s = None
        if self._process is None:
            self.start()
        elif self._after is not None:
            _log.warning("%s %d did not quit and is killed", self.stored.name, self.current.sequence)
            self._process.kill()
            self._due_s = now_s + KILL_AGAIN_S
        else:
            self._retry_s = FIRST_RETRY_S
            self._remember_good()
            self._set("running", self._note)

    def _start_beside(self, old: BoxedProcess) -> None:
        self._process = None
        self.start()
        self._leaving = old
        self._leaving_due_s = self._around.clock.monotonic_s() + QUIT_S
        old.quit()

    def _end_then(self, after: Callable[[], None]) -> None:
        self._time_up_s = None
        if self._process is None:
            self._due_s = None
        elif self._after is None:
            self._due_s = self._around.clock.monotonic_s() + QUIT_S
            self._process.quit()
        self._after = after
        self._go_on()

    def _go_on(self) -> None:
        """Do what waits for the end of all that runs, if that is over."""
        if self._after is not None and not self.is_running:
            after, self._after = self._after, None
            after()

    def _ended(self, process: BoxedProcess, code: int) -> None:
        if process is self._leaving:
            self._leaving = self._leaving_due_s = None
        else:
            self._process = None
            self._due_s = self._time_up_s = None
            self._last_exit = f"{code}" if code >= 0 else f"signal {-code}"
            if self._after is None:
                self._see_end(code)
        self._go_on()

    def _see_end(self, code: int) -> None:
        """What runs ended by itself."""
        if code == 0:
            self._remember_good()
            self._set("finished", self._note)
        elif self._leaving is not None:
            self._after = self.start
        elif (
            self._is_new()
            and self._good is not None
            and self.stored.good is not None
            # It may have expired meanwhile, or its key be revoked.
            and not self._around.refusal(self._good, self.stored.signer)
        ):
            self._go_back(self._good, self.stored.good)
        else:
            _log.warning("%s %d ended with %s", self.stored.name, self.current.sequence, self._last_exit)
            self._retry_later(f"ended with {self._last_exit}")

    def _go_back(self, good: Statement, document: Document) -> None:
        broken = self.current
        note = f"{broken.sequence} broke (exit {self._last_exit}); {good.sequence} runs again"
        _log.error("%s: %s", self.stored.name, note)
        self._around.tell(self.stored.name, note)
        self.stored.broken = [*self.stored.broken, broken.digest][-MOST_BROKEN:]
        self.stored.current = document
        self._keep()
        self.current, self._note = good, note
        self.start()

    def _retry_later(self, note: str) -> None:
        self._due_s = self._around.clock.monotonic_s() + self._retry_s
        self._retry_s = min(2 * self._retry_s, MOST_RETRY_S)
        self._set("failed", note)

    def _is_new(self) -> bool:
        return self._good is None or self._good.digest != self.current.digest

    def _remember_good(self) -> None:
        if self._is_new():
            self._good, self.stored.good = self.current, self.stored.current
            self._keep()

    def _keep(self) -> None:
        try:
            self._around.shelf.keep_program(self.stored)
        except OSError as error:
            _log.error("%s: its state cannot be kept (%s); it goes on", self.stored.name, error)

    def _set(self, state: str, note: str) -> None:
        self._state, self._note = state, note
        self._since_ms = self._around.clock.wall_ms()
        self._around.changed()
