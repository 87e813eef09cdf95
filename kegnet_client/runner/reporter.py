"""What the device tells the database, in a thread of its own: its state, results of commands, and the log's end.

A result is written until the database has it. The state is written on change, and once a minute as a heartbeat;
the log once in ten seconds at most.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kegnet_client.core.errors import KegnetError, ServerRefusalError
from kegnet_client.runner.couch import Couch, Document
from kegnet_client.runner.log_pages import Untold, append
from kegnet_client.runner.shelf import Shelf, StoredCommand

HEARTBEAT_S = 60.0
LOG_EVERY_S = 10.0
CHANGE_SETTLES_S = 0.2
FIRST_RETRY_S = 1.0
MOST_RETRY_S = 60.0

_log = logging.getLogger(__name__)


class Reporter:
    """Tells ``couch`` of the device ``mac_id``; ``state`` makes what its heartbeat document says."""

    def __init__(self, couch: Couch, mac_id: int, shelf: Shelf, state: Callable[[], Document]) -> None:
        self._couch = couch
        self._mac_id = mac_id
        self._shelf = shelf
        self._state = state
        self._results: deque[StoredCommand] = deque()
        self._untold = Untold()
        self._telling: list[bytes] = []
        """Those that the database was sent, and may have."""
        self._is_changed = True
        self._came = threading.Condition()
        self._problem = ""

    def changed(self) -> None:
        """The state is another one."""
        with self._came:
            self._is_changed = True
            self._came.notify()

    def done(self, command: StoredCommand) -> None:
        """A command has its result."""
        with self._came:
            self._results.append(command)
            self._came.notify()

    def tell(self, name: str, line: str) -> None:
        """A program has said ``line``."""
        _log.info("[%s] %s", name, line)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._came:
            if not self._untold:
                self._came.notify()
            self._untold.add((at, name, line))

    def run(self) -> None:
        """For ever; a thread's outermost frame."""
        beat_s = log_s = 0.0
        retry_s = FIRST_RETRY_S
        while True:
            now_s = time.monotonic()
            with self._came:
                due_s = min(beat_s + HEARTBEAT_S, log_s + LOG_EVERY_S if self._untold else beat_s + HEARTBEAT_S)
                if not self._results and not self._is_changed and due_s > now_s:
                    self._came.wait(due_s - now_s)
                    continue
            try:
                # First, since a database that refuses this is not asked for more.
                if self._is_changed or now_s >= beat_s + HEARTBEAT_S:
                    self._is_changed = False
                    self._tell_state()
                    beat_s = time.monotonic()
                refusal = self._tell_results()
                if self._untold and now_s >= log_s + LOG_EVERY_S:
                    self._tell_lines()
                    log_s = time.monotonic()
                if refusal is not None:
                    raise refusal
            except KegnetError as error:
                self._is_changed = True
                if str(error) != self._problem:
                    _log.warning("%s; it is told later", error)
                self._problem = str(error)
                time.sleep(retry_s)
                retry_s = min(2 * retry_s, MOST_RETRY_S)
            else:
                self._problem, retry_s = "", FIRST_RETRY_S
                time.sleep(CHANGE_SETTLES_S)

    def _tell_results(self) -> ServerRefusalError | None:
        """All that the database takes; one that it refuses stays, and holds up no other one."""
        refusal = None
        for _ in range(len(self._results)):
            try:
                self._tell_result(self._results[0])
            except ServerRefusalError as error:
                refusal = error
                self._results.rotate(-1)
            else:
                self._results.popleft()
        return refusal

    def _tell_result(self, command: StoredCommand) -> None:
        result: dict[str, Any] = command.result or {}
        body = {"type": "result", "device": self._mac_id, "command": command.id, "at": _now(), **result}
        self._couch.update(f"{command.id}_ret_{self._mac_id}", lambda old: None if old else body)
        if command.answers_in_place:
            ret = [result.get("stdout"), result.get("stderr")]
            # Its signature covers all but this; a document that was replaced meanwhile is another command.
            try:
                self._couch.update(command.id, lambda old: {**old, "ret": ret} if old and "ret" not in old else None)
            except ServerRefusalError as error:
                # A database knows devices by their users, and does not let this one answer what names it by its uuid.
                _log.warning("%s: its result is beside it only: %s", command.id, error)
        command.is_told = True
        try:
            self._shelf.keep_command(command)
        except OSError as error:
            _log.error("%s: that its result was told cannot be kept (%s)", command.id, error)

    def _tell_state(self) -> None:
        body = {**self._state(), "type": "heartbeat", "at": _now()}
        self._couch.update(f"{self._mac_id}_heartbeat", lambda _old: body)

    def _tell_lines(self) -> None:
        while True:
            with self._came:
                self._telling = self._telling or self._untold.first()
            if not self._telling:
                return
            append(self._couch, self._mac_id, self._telling)
            with self._came:
                self._untold.forget(self._telling)
                self._telling = []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
