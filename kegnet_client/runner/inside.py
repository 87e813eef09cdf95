"""The first program inside a box: sets the limits, then runs the modules' ``main()``, or becomes the command.

When the runner dies, or gives the box up, the kernel kills this process: bubblewrap would not before it is set up.

It is started by its path, knows nothing of this package, and trusts nobody: the box is the boundary, not what stands
here. What there is to run comes in a file that the box made. The end of stdin means that the runner wants it to quit.

Modules have ``log``, ``should_quit``, ``register_quit_notification``, ``remove_quit_notification`` and ``gpio_line``
from their first line on, and may import them: ``from kegnet_module import log``. They import each other by name, in
circles too, and none of them hides a module of the standard library.
"""

import fcntl
import importlib.abc
import importlib.machinery
import json
import linecache
import os
import resource
import select
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar

JOB = "/run/kegnet/job.json"
CANNOT_START = 127
API = "kegnet_module"
LINES = "KEGNET_GPIO"
"""Names the GPIO lines that were granted, with their descriptors, as JSON."""
F_SETSIG = 10
"""Linux's, which the module fcntl does not know."""

_quit = threading.Event()
_notifications: list[Callable[[], object]] = []
_lock = threading.Lock()


def log(message: object, *values: object) -> None:
    """One line of the log: ``message % values``."""
    text = str(message) % values if values else str(message)
    print(text.replace("\n", "\\n"), flush=True)


def should_quit() -> bool:
    """Whether the runner wants this program to end."""
    return _quit.is_set()


def register_quit_notification(notification: Callable[[], object]) -> None:
    """Have ``notification`` called, in another thread, when the program shall end; at once if it shall already."""
    with _lock:
        _notifications.append(notification)
        is_late = _quit.is_set()
    if is_late:
        notification()


def remove_quit_notification(notification: Callable[[], object]) -> None:
    """Have it called no more."""
    with _lock:
        if notification in _notifications:
            _notifications.remove(notification)


class GpioLine:
    """A GPIO line that was granted, by its descriptor. It stays as it is until it is made an input or an output."""

    _SET_CONFIG, _GET_VALUES, _SET_VALUES = 0xC110B40D, 0xC010B40E, 0xC010B40F
    _INPUT, _OUTPUT, _EDGES = 4, 8, 16 | 32
    _PULLS: ClassVar = {"": 0, "up": 256, "down": 512, "none": 1024}
    _EVENT_BYTES = 48

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Readable when there is an edge."""
        return self._fd

    def be_input(self, pull: str = "", *, edges: bool = False) -> None:
        """Be one; ``pull`` is up, down or none. With ``edges`` there is something to `read_edge`."""
        self._configure(self._INPUT | self._PULLS[pull] | (self._EDGES if edges else 0))

    def be_output(self, value: int) -> None:
        """Be one, with this value from the first moment on."""
        self._configure(self._OUTPUT, value)

    def get(self) -> int:
        """Its value: 0 or 1."""
        values = bytearray(struct.pack("=QQ", 0, 1))
        fcntl.ioctl(self._fd, self._GET_VALUES, values)
        return values[0] & 1

    def set(self, value: int) -> None:
        """Give an output this value."""
        fcntl.ioctl(self._fd, self._SET_VALUES, struct.pack("=QQ", bool(value), 1))

    def read_edge(self) -> tuple[int, bool]:
        """Wait for the next edge: its time in nanoseconds of the monotonic clock, and whether it rises."""
        at_ns, kind = struct.unpack_from("=QI", os.read(self._fd, self._EVENT_BYTES))
        return at_ns, kind == 1

    def _configure(self, flags: int, value: int = 0) -> None:
        # One attribute: with which values (the kind 2) outputs begin.
        attribute = struct.pack("=I4xQQ", 2, bool(value), 1)
        count = 1 if flags & self._OUTPUT else 0
        config = struct.pack("=QI20x24s216x", flags, count, attribute if count else b"")
        fcntl.ioctl(self._fd, self._SET_CONFIG, config)


def gpio_line(name: str) -> GpioLine:
    """The line ``name``, such as ``/dev/gpiochip0:17``, which has to be among those that this program asked for."""
    lines = json.loads(os.environ.get(LINES, "{}"))
    if name not in lines:
        raise PermissionError(f"{name} is not among the lines that this program was granted: {', '.join(lines) or '-'}")
    return GpioLine(lines[name])


GIVEN = {
    one.__name__: one
    for one in (log, should_quit, register_quit_notification, remove_quit_notification, gpio_line, GpioLine)
}


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the document's modules. It is asked last, so that it hides nothing that is here."""

    def __init__(self, sources: dict[str, str]) -> None:
        self._sources = sources

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module called ``name``, if it is one of the document's."""
        if path is not None or name not in self._sources:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=f"<{name}>")

    def exec_module(self, module: ModuleType) -> None:
        """Run the source; what is given is there before its first line."""
        name = module.__name__
        module.__dict__.update(GIVEN)
        source = self._sources[name]
        linecache.cache[f"<{name}>"] = (len(source), None, source.splitlines(keepends=True), f"<{name}>")
        exec(compile(source, f"<{name}>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (what it is for)


def main() -> int:
    """Run the job; the exit code."""
    with open(JOB, encoding="utf-8") as file:  # noqa: PTH123 (pathlib takes time to import)
        job: dict[str, Any] = json.load(file)
    _live_as_long_as_the_runner(job["life_fd"])
    for name, most in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (most, most))
    if job["command"]:
        try:
            os.execvp(job["command"][0], job["command"])  # noqa: S606 (what it is for)
        except OSError as error:
            print(repr(error), file=sys.stderr)
            return CANNOT_START
    return _run(job["modules"])


def _live_as_long_as_the_runner(fd: int) -> None:
    """The other end of this pipe is the runner's: its end is a signal, also to what this process becomes."""
    os.set_inheritable(fd, True)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([fd], [], [], 0)[0]:
        os._exit(1)


def _run(sources: dict[str, str]) -> int:
    api = ModuleType(API)
    api.__dict__.update(GIVEN)
    sys.modules[API] = api
    sys.meta_path.append(Finder(sources))
    threading.Thread(target=_wait_for_the_end, daemon=True).start()
    try:
        program = importlib.import_module("main")
        program.main()
    except Exception:  # whatever a module raises is told, with its line
        traceback.print_exc()
        return 1
    return 0


def _wait_for_the_end() -> None:
    while os.read(0, 4096):
        pass
    with _lock:
        _quit.set()
        notifications = list(_notifications)
    for notification in notifications:
        try:
            notification()
        except Exception:  # told, and the others are called all the same
            traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main())
