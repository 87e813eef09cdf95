"""Going on without the terminal: a process of its own session, known by a pid file, with its log at syslog.

Who called it gets its prompt back once the process is ready, and the exit code if it does not come to that: until then
it says on the terminal what is wrong.
"""

import atexit
import contextlib
import fcntl
import os
from pathlib import Path

from kegnet_client.core.errors import DaemonError
from kegnet_client.host.log import set_up

_READY = b"1"
_KILLED = 70


class Detached:
    """The process that goes on; its pid stands in ``pid_file``, which it holds locked, until its end."""

    def __init__(self, pid_file: Path) -> None:
        """In the process that was called this does not return. Raises `DaemonError` in the one that goes on."""
        reading, self._caller = os.pipe()
        if child := os.fork():
            os.close(self._caller)
            _wait_for(child, reading)
        os.close(reading)
        os.setsid()
        _hold(pid_file)
        atexit.register(pid_file.unlink, missing_ok=True)

    def ready(self) -> None:
        """Let go of the terminal and of whoever waits there."""
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.close(null)
        os.chdir("/")
        set_up({})
        with contextlib.suppress(OSError):  # nobody waits any more
            os.write(self._caller, _READY)
        os.close(self._caller)


def _wait_for(child: int, reading: int) -> None:
    """End as the child says."""
    if os.read(reading, 1) == _READY:
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(code if code >= 0 else _KILLED)


def _hold(pid_file: Path) -> None:
    """For as long as this process lives: the descriptor stays open."""
    try:
        fd = os.open(pid_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        raise DaemonError(f"{pid_file}: the process that it names runs; end that one") from None
    except OSError as error:
        raise DaemonError(f"{pid_file}: {error.strerror}; write another by --pid-file") from error
