"""Commands: each runs at most once, from an intent on disk, in a box, for a bounded time.

Its result is kept until the database has it.
"""

import logging
from collections.abc import Callable
from typing import Any

from kegnet_client.core.errors import RunnerError
from kegnet_client.runner.inside import CANNOT_START
from kegnet_client.runner.process import BoxedProcess, Capture
from kegnet_client.runner.program import KILL_AGAIN_S, Surroundings
from kegnet_client.runner.shelf import StoredCommand
from kegnet_client.runner.statement import DEFAULT_COMMAND_S, Statement

MAX_AT_ONCE = 8
MAX_WAITING = 256
KEEP_MS = 24 * 3_600_000

_log = logging.getLogger(__name__)


class Commands:
    """Those of this device; ``done`` gets each that has its result."""

    def __init__(self, around: Surroundings, done: Callable[[StoredCommand], None]) -> None:
        self._around = around
        self._done = done
        self._waiting: dict[str, tuple[Statement, str, str]] = {}
        self._running: dict[str, tuple[BoxedProcess, float]] = {}

    def resume(self) -> None:
        """Tell what was not told yet; what was started when the runner ended may have run, and does not again."""
        self._around.shelf.forget_commands(self._around.clock.wall_ms() - KEEP_MS)
        for command in self._around.shelf.commands():
            if command.result is None:
                self._finish(command, {"exit": None, "stdout": None, "stderr": "the runner ended while it ran"})
            elif not command.is_told:
                self._done(command)

    def take(self, statement: Statement, signer: str, identifier: str) -> str | None:
        """Run what ``signer`` signed, unless that was done; why it cannot be."""
        digest = statement.digest
        if digest in self._waiting or digest in self._running or self._around.shelf.has_command(digest):
            return None
        if len(self._waiting) >= MAX_WAITING:
            return f"{MAX_WAITING} commands wait already"
        self._waiting[digest] = (statement, signer, identifier)
        self._start_waiting()
        return None

    @property
    def due_s(self) -> float | None:
        """When `tick` has something to do."""
        return min((until_s for _, until_s in self._running.values()), default=None)

    def tick(self, now_s: float) -> None:
        """End those whose time is up."""
        for digest, (process, until_s) in self._running.items():
            if now_s >= until_s:
                process.kill()
                self._running[digest] = (process, now_s + KILL_AGAIN_S)

    def kill(self) -> None:
        """End all at once."""
        self._waiting.clear()
        now_s = self._around.clock.monotonic_s()
        self._running = {digest: (process, now_s) for digest, (process, _) in self._running.items()}
        self.tick(now_s)

    @property
    def is_running(self) -> bool:
        """Whether one is under way."""
        return bool(self._running)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < MAX_AT_ONCE:
            digest, (statement, signer, identifier) = next(iter(self._waiting.items()))
            del self._waiting[digest]
            command = StoredCommand(digest, identifier, statement.answers_in_place, statement.expires_ms or 0)
            try:
                self._around.shelf.keep_command(command)
            except OSError as error:
                _log.error("%s: does not run, because that cannot be kept: %s", identifier, error)
                continue
            # It may have waited for long.
            if problem := self._around.refusal(statement, signer):
                self._finish(command, {"exit": None, "stdout": None, "stderr": f"it did not run: {problem}"})
            else:
                self._start(command, statement)

    def _start(self, command: StoredCommand, statement: Statement) -> None:
        out, err = Capture(), Capture()
        try:
            process = self._around.boxes.start({}, statement.command, statement.permissions, None)
        except RunnerError as error:
            self._finish(command, {"exit": None, "stdout": None, "stderr": str(error)})
            return

        def ended(code: int) -> None:
            del self._running[command.digest]
            stdout = None if code == CANNOT_START and not out.text() else out.text()
            self._finish(command, {"exit": code, "stdout": stdout, "stderr": err.text()})
            self._start_waiting()

        _log.info("%s runs: %s", command.id, ascii(statement.command)[:200])
        seconds = statement.permissions.seconds or DEFAULT_COMMAND_S
        boxed = BoxedProcess(process, self._around.selector, out.feed, err.feed, ended)
        boxed.quit()  # it reads nothing
        self._running[command.digest] = (boxed, self._around.clock.monotonic_s() + seconds)

    def _finish(self, command: StoredCommand, result: dict[str, Any]) -> None:
        command.result = result
        try:
            self._around.shelf.keep_command(command)
        except OSError as error:
            _log.error("%s: its result cannot be kept (%s); it is told now or never", command.id, error)
        self._done(command)
