"""What a process tells ``kegnet-client status``: one small JSON file, written by the one, read by the other.

It holds what a restart may lose. It is in /run/kegnet-client for the installed root, so that no SD card wears
out for it, and in ROOT/.state for every other root and where /run is not ours to write.
"""

import contextlib
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

from kegnet_client.host.atomic_file import open_directory, write_volatile_file
from kegnet_client.host.condition import Condition
from kegnet_client.host.regular_file import read_regular
from kegnet_client.host.root import DEFAULT_ROOT

RUN_DIRECTORY = Path("/run/kegnet-client")
FILE_NAME = "state.json"
MAX_FILE_BYTES = 1024 * 1024
CLOSE_S = 0.5

log = logging.getLogger(__name__)


class StateFile:
    """The file of one root. ``problem`` says why it cannot be written, if so."""

    def __init__(self, root: Path, run_directory: Path = RUN_DIRECTORY, file_name: str = FILE_NAME) -> None:
        self._file_name = file_name
        self._directories = [*([run_directory] if root == DEFAULT_ROOT else []), root / ".state"]
        self._path: Path | None = None
        self.problem: str | None = None

    @classmethod
    def of_producer(cls, root: Path, producer: str) -> "StateFile":
        """That of a producer which is a process of its own, and has its own directory in /run."""
        return cls(root, Path(f"/run/kegnet-{producer}"), f"{producer}.json")

    def write(self, state: dict[str, Any]) -> None:
        """Replace what readers see; without fsync, since a power cut may have it."""
        data = json.dumps({"pid": os.getpid(), "born": _born(os.getpid()), **state})
        for directory in [self._path.parent] if self._path else self._directories:
            try:
                directory.mkdir(mode=0o755, exist_ok=True)
                with open_directory(directory) as fd:
                    # The group may read it and not write, whatever the umask leaves it in the spool.
                    write_volatile_file(fd, self._file_name, data.encode(), 0o644)
                self._path = directory / self._file_name
                self.problem = None
            except OSError as error:
                self.problem = f"{directory}: {error.strerror}; kegnet-client status knows nothing of this process"
            else:
                return

    def remove(self) -> None:
        """The process that it tells of ends."""
        if self._path:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def read(self) -> dict[str, Any] | None:
        """What a running process says of itself; None when none runs."""
        for directory in self._directories:
            try:
                state = json.loads(read_regular(directory / self._file_name, MAX_FILE_BYTES))
            except (OSError, ValueError, RecursionError):
                continue
            if not isinstance(state, dict) or not isinstance(state.get("pid"), int):
                continue
            born = _born(state["pid"])
            if born is not None and born == state.get("born"):
                return state
        return None


class StateWriter:
    """Writes the newest state in a thread of its own, because a slow card must not hold up a pour.

    What it is given between two writes is passed over for what comes last.
    """

    def __init__(self, file: StateFile) -> None:
        self._file = file
        self._unwritable = Condition(log)
        self._changed = threading.Condition()
        self._newest: dict[str, Any] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="state", daemon=True)
        self._thread.start()

    def write(self, state: dict[str, Any]) -> None:
        """Have ``state`` written soon."""
        with self._changed:
            self._newest = state
            self._changed.notify()

    def close(self) -> None:
        """Remove the file: the process ends. A disk that hangs does not hold that up."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._file.remove()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._closed)
                state, self._newest = self._newest, None
                if self._closed or state is None:
                    return
            self._file.write(state)
            if self._file.problem:
                self._unwritable.begin(self._file.problem)
            else:
                self._unwritable.end()


def _born(pid: int) -> int | None:
    """When the process ``pid`` began, in ticks since the boot: no later one with this number has the same. None
    when there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(status.rpartition(b")")[2].split()[19])
