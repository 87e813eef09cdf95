"""The supervisor: takes what the feed brings, and has the right things run.

All boxes are started by its one thread, since they die with the thread that started them; it ends last. It waits in
one place for output, ends, changes and times, and never for the database: results and states are the reporter's.
"""

import contextlib
import logging
import os
import queue
import selectors
import threading
from collections.abc import Callable, Mapping
from typing import Any

from kegnet_client.core.errors import ConfigError, DocumentError
from kegnet_client.host.clock import Clock
from kegnet_client.runner.box import Boxes
from kegnet_client.runner.command import Commands
from kegnet_client.runner.couch import Change, Document
from kegnet_client.runner.judge import Judge
from kegnet_client.runner.program import Program, Surroundings
from kegnet_client.runner.sequences import Sequences
from kegnet_client.runner.shelf import Shelf, StoredCommand, StoredProgram, size_of
from kegnet_client.runner.statement import Statement, is_candidate, read_statement
from kegnet_client.runner.trust import Trust

LOOK_S = 10.0
LOOKS_AN_HOUR = 360
MAX_PROGRAMS = 64
MAX_CHANGES = 64
MAX_HELD = 256
MAX_REFUSED = 50
MAX_STATE_BYTES = 64 * 1024 * 1024
MAX_STATE_FILES = 10_000

_log = logging.getLogger(__name__)


class Supervisor:
    """Runs what ``judge`` admits. ``tell`` gets each line with its program, ``changed`` says that `status` is new."""

    def __init__(
        self,
        judge: Judge,
        trust: Trust,
        sequences: Sequences,
        shelf: Shelf,
        boxes: Boxes,
        clock: Clock,
        *,
        tell: Callable[[str, str], None],
        changed: Callable[[], None],
        done: Callable[[StoredCommand], None],
        resync: Callable[[], None],
    ) -> None:
        self._judge, self._trust, self._sequences, self._shelf = judge, trust, sequences, shelf
        self._clock = clock
        self._resync = resync
        self._changed = changed
        self._selector = selectors.DefaultSelector()
        self._around = Surroundings(boxes, self._selector, shelf, clock, self._libraries, self._refusal, tell, changed)
        self._commands = Commands(self._around, done)
        self._programs: dict[str, Program] = {}
        self._leaving: list[Program] = []
        self._looks = 0
        self._was_doubted = clock.doubt() is not None
        self._refused: dict[str, str] = {}
        self._held: dict[str, Change] = {}
        self._has_missed = False
        """Whether there were more changes than can be held."""
        self._changes: queue.Queue[Change] = queue.Queue(MAX_CHANGES)
        self._waking = threading.Lock()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake_fd, selectors.EVENT_READ, self._awake)
        self._trusted = trust.version()
        self._stopping = False

    def offer(self, change: Change) -> None:
        """Take a change from the feed; waits while there are many. What comes after the end is not taken."""
        self._changes.put(change)
        self._wake()

    def stop(self) -> None:
        """Have `run` end, with all that runs."""
        self._stopping = True
        self._wake()

    def status(self) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        """The rows of the programs, and of what was refused. Any thread may ask."""
        refused = [{"id": identifier, "reason": reason} for identifier, reason in list(self._refused.items())]
        return [program.status() for program in list(self._programs.values())], refused

    def run(self) -> None:
        """Until `stop`."""
        self._start_stored()
        self._commands.resume()
        look_s = self._clock.monotonic_s() + LOOK_S
        while not self._stopping:
            self._wait(look_s)
            self._take_changes()
            now_s = self._clock.monotonic_s()
            if now_s >= look_s:
                look_s = now_s + LOOK_S
                self._look()
            self._tick(now_s)
        self._end()

    def _wait(self, until_s: float) -> None:
        dues = [program.due_s for program in self._all()] + [self._commands.due_s]
        until_s = min([until_s, *(due for due in dues if due is not None)])
        for key, _ in self._selector.select(max(until_s - self._clock.monotonic_s(), 0)):
            # One callback may have ended what another one waited for.
            if key.fd in self._selector.get_map():
                key.data()

    def _tick(self, now_s: float) -> None:
        for program in self._all():
            program.tick(now_s)
        self._commands.tick(now_s)

    def _end(self) -> None:
        for program in self._all():
            program.stop("stopped")
        self._commands.kill()
        while self._commands.is_running or any(one.is_running for one in self._all()):
            self._wait(self._clock.monotonic_s() + 1)
            self._tick(self._clock.monotonic_s())
        with self._waking:
            os.close(self._wake_fd)
            self._wake_fd = -1
        self._selector.close()

    def _all(self) -> list[Program]:
        """Those that stand, and those that are told to quit for good."""
        return [*self._programs.values(), *self._leaving]

    def _wake(self) -> None:
        """Any thread may, also the feed's, which does not end before the number may be another file's."""
        with self._waking:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)

    def _awake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)

    def _take_changes(self) -> None:
        for _ in range(MAX_CHANGES):
            try:
                change = self._changes.get_nowait()
            except queue.Empty:
                return
            self._take(change)
        self._wake()

    def _take(self, change: Change) -> None:
        if change.document is None or not is_candidate(change.document):
            self._held.pop(change.id, None)
            if self._refused.pop(change.id, None):
                self._changed()
            if change.deleted:
                self._forget(change.id, "was deleted")
            elif change.document is not None:
                self._forget(change.id, "is not in its document any more")
        elif doubt := self._clock.doubt():
            self._hold(change, doubt)
        else:
            self._admit(change.id, change.document)

    def _hold(self, change: Change, doubt: str) -> None:
        """Nothing new runs by a clock that may be wrong: what expired would run once more."""
        if not self._held:
            _log.warning("what is new waits: %s", doubt)
        if len(self._held) < MAX_HELD or change.id in self._held:
            self._held[change.id] = change
        else:
            self._has_missed = True

    def _admit(self, identifier: str, document: Document) -> None:
        if "cmd" in document and self._has_run(document):
            # It never runs again, whoever signed it and whatever the time is: that is not asked, and costs nothing.
            self._forget(identifier, "is not in its document any more")
            self._see_problem(identifier, None)
            return
        problem = None
        try:
            admitted = self._judge.admit(document, self._clock.wall_ms())
            if admitted is None:
                self._forget(identifier, "is for other devices now")
            elif admitted.statement.command:
                self._forget(identifier, "is not in its document any more")
                problem = self._commands.take(admitted.statement, admitted.signer, identifier)
            else:
                problem = self._run_program(identifier, document, admitted.statement, admitted.signer)
        except (DocumentError, ConfigError, OSError) as error:
            problem = str(error)
        self._see_problem(identifier, problem)

    def _see_problem(self, identifier: str, problem: str | None) -> None:
        """Tell why a document is refused, or that it is not."""
        if problem is None:
            if self._refused.pop(identifier, None):
                self._changed()
        elif self._refused.get(identifier) != problem:
            _log.warning("%s is refused: %s", ascii(identifier)[:100], problem)
            self._refused[identifier] = problem
            while len(self._refused) > MAX_REFUSED:
                del self._refused[next(iter(self._refused))]
            self._changed()

    def _has_run(self, document: Mapping[str, Any]) -> bool:
        try:
            return self._shelf.has_command(read_statement(document).digest)
        except DocumentError:
            return False

    def _run_program(self, identifier: str, document: Document, statement: Statement, signer: str) -> str | None:
        stored = StoredProgram(signer, statement.name, identifier, document)
        program = self._programs.get(stored.key)
        for other in [one for one in self._programs.values() if one.stored.id == identifier and one is not program]:
            self._drop(other, "is not in its document any more")
        if program is None and len(self._programs) >= MAX_PROGRAMS:
            return f"{MAX_PROGRAMS} programs are here already"
        if program is not None and (
            statement.digest == program.current.digest or statement.digest in program.stored.broken
        ):
            program.stored.id = identifier
            return None
        # From here on nothing older runs, whatever happens.
        self._sequences.take(signer, statement.name, statement.sequence, statement.digest)
        old: Mapping[str, str] = {}
        if program is None:
            self._shelf.keep_program(stored)
            program = self._programs[stored.key] = Program(stored, statement, None, self._around)
            program.start()
        else:
            old = program.current.global_modules
            program.stored.id = identifier
            program.replace(document, statement)
        if old != statement.global_modules:
            self._restart_others(signer, program)
        return None

    def _restart_others(self, signer: str, library: Program | None) -> None:
        """Their global modules are other ones now."""
        for program in self._programs.values():
            if program is not library and program.stored.signer == signer and program.is_running:
                program.restart()

    def _libraries(self, signer: str) -> dict[str, str]:
        modules: dict[str, str] = {}
        for program in self._programs.values():
            lent = program.current.global_modules
            # Also what is lent has to be allowed now.
            if lent and program.stored.signer == signer and not self._refusal(program.current, signer):
                modules |= lent
        return modules

    def _refusal(self, statement: Statement, signer: str) -> str | None:
        try:
            admitted = self._judge.admit_again(statement, self._clock.wall_ms())
        except (DocumentError, ConfigError) as error:
            return str(error)
        return None if admitted.signer == signer else f"it is signed by {admitted.signer} now"

    def _forget(self, identifier: str, why: str) -> None:
        for program in [one for one in self._programs.values() if one.stored.id == identifier]:
            self._drop(program, why)

    def _drop(self, program: Program, why: str) -> None:
        _log.info("%s %s: it is stopped", program.stored.name, why)
        try:
            self._sequences.close(program.stored.signer, program.stored.name)
            self._shelf.forget_program(program.stored)
        except OSError as error:
            _log.error("%s: that it %s cannot be kept (%s)", program.stored.name, why, error)
        del self._programs[program.stored.key]
        self._leaving = [one for one in self._leaving if one.is_running] + [program]
        program.stop("deleted", why)
        if program.current.global_modules:
            self._restart_others(program.stored.signer, None)
        self._changed()

    def _start_stored(self) -> None:
        for stored in self._shelf.programs():
            try:
                current = read_statement(stored.current)
                good = None if stored.good is None else read_statement(stored.good)
            except DocumentError as error:
                _log.error("%s: what is kept of it is not good (%s); it is left out", stored.name, error)
                continue
            self._programs[stored.key] = Program(stored, current, good, self._around)
        self._judge_again(is_start=True)

    def _look(self) -> None:
        """What changes by itself: files, times, directories."""
        self._looks += 1
        if self._held and self._clock.doubt() is None:
            held, self._held = list(self._held.values()), {}
            for change in held:
                self._take(change)
            if self._has_missed:
                self._has_missed = False
                self._resync()
        version = self._trust.version()
        if version != self._trusted:
            self._trusted = version
            _log.info("who may sign has changed: everything is judged again")
            self._judge_again()
            self._resync()
        elif self._looks % LOOKS_AN_HOUR == 0 or (self._was_doubted and self._clock.doubt() is None):
            # Who may sign until today may not tomorrow.
            self._was_doubted = False
            self._judge_again()
        else:
            self._judge_times()
        for program in self._programs.values():
            if program.is_running:
                size = size_of(self._shelf.state_of(program.stored), MAX_STATE_BYTES, MAX_STATE_FILES)
                if size > MAX_STATE_BYTES:
                    _log.error(
                        "%s has more than %d bytes of state: it is stopped", program.stored.name, MAX_STATE_BYTES
                    )
                    program.stop("refused", "its state directory is too large")

    def _judge_again(self, *, is_start: bool = False) -> None:
        lenders = set()
        for program in self._programs.values():
            was_refused = program.status()["state"] == "refused"
            problem = self._refusal(program.current, program.stored.signer)
            if problem:
                _log.error("%s: %s; it is stopped", program.stored.name, problem)
                program.stop("refused", problem)
            elif is_start or (was_refused and not program.is_running):
                program.start()
            if bool(problem) != was_refused and program.current.global_modules:
                lenders.add(program.stored.signer)
        if not is_start:
            for signer in lenders:
                self._restart_others(signer, None)

    def _judge_times(self) -> None:
        now_ms = self._clock.wall_ms()
        for program in self._programs.values():
            expires_ms = program.current.expires_ms
            if expires_ms is None or now_ms < expires_ms or program.status()["state"] in ("expired", "refused"):
                continue
            _log.info("%s has expired: it is stopped", program.stored.name)
            program.stop("expired")
            if program.current.global_modules:
                self._restart_others(program.stored.signer, program)
