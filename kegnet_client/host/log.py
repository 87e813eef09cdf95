"""Where log lines go: to whoever reads along.

A terminal on stderr gets them as they are. Under systemd they go to the journal with their fields, elsewhere to
/dev/log, both as facility user, ident ``kegnet-client``; without any of these to stderr, unless that is closed.

The few events that are worth an alert have a MESSAGE_ID of their own in the journal, always the same
(``journalctl MESSAGE_ID=...``): the constants below.

Security: whatever came from a file, a name or a server is made printable by the one who logs it.
"""

import contextlib
import logging
import logging.handlers
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IDENT = "kegnet-client"
SYSLOG_SOCKET = Path("/dev/log")
SYSLOG_PATIENCE_S = 0.2
"""How long a line waits for a syslog that has ten others to read, as many as its socket may hold."""
_FACILITY_USER = "1"
_MESSAGE_ALONE = logging.Formatter("%(message)s")

REJECTED_ID = "c53aad5fbf564955ba4d7d9d2c2f6f9c"
"""A record was moved to rejected/; KEGNET_FILE says which."""
MISCONFIGURED_ID = "7b9ea5e0bccd4a3e81ce98a41ca1256d"
"""The server refuses this device, or is not the server: nothing goes until a person fixes what the line says."""
SPOOL_UNCHANGEABLE_ID = "c3e3eca625c24a0d97c2e044bceb4e6c"
"""Delivered records cannot be removed from the spool: a read-only file system, a full disk."""
CRASHED_ID = "22698cc49b634386aa125406716cf370"
"""A fault in the program itself; systemd starts it again."""


def set_up(environ: Mapping[str, str], syslog_socket: Path = SYSLOG_SOCKET, level: int = logging.INFO) -> None:
    """Send the log lines of this process from ``level`` on to the place that fits how it was started."""
    handler = _handler(environ, syslog_socket)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # A handler that fails must not print its trace where the next line is expected.
    logging.raiseExceptions = False


def _handler(environ: Mapping[str, str], syslog_socket: Path) -> logging.Handler:
    if sys.stderr is not None and sys.stderr.isatty():
        return _to_stderr()
    if sys.stderr is not None and _is_journal(environ.get("JOURNAL_STREAM", "")):
        # Only here, since it loads libsystemd.
        from systemd.journal import JournalHandler

        journal: logging.Handler = JournalHandler(SYSLOG_IDENTIFIER=IDENT, SYSLOG_FACILITY=_FACILITY_USER)
        journal.setFormatter(_MESSAGE_ALONE)
        return journal
    if syslog_socket.is_socket():
        # Where nobody listens yet or any more, it tries again with each line.
        syslog = _Syslog(str(syslog_socket), logging.handlers.SysLogHandler.LOG_USER)
        syslog.ident = f"{IDENT}[{os.getpid()}]: "
        syslog.setFormatter(_MESSAGE_ALONE)
        return syslog
    return _to_stderr()


class _Syslog(logging.handlers.SysLogHandler):
    """Waits `SYSLOG_PATIENCE_S` for a syslog that is slow, and no more for one that let a line wait for so long.

    Its lines are lost until it reads again: a syslog that hangs must not hold up records.
    """

    socket: Any
    _is_lost = False
    _patience_s = SYSLOG_PATIENCE_S

    def emit(self, record: logging.LogRecord) -> None:
        self._is_lost = False
        super().emit(record)
        patience_s = 0.0 if self._is_lost else SYSLOG_PATIENCE_S
        if patience_s != self._patience_s:
            self._patience_s = patience_s
            with contextlib.suppress(OSError):  # nobody listens: the next socket gets it
                self.socket.settimeout(patience_s)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is logging's
        self._is_lost = True
        super().handleError(record)

    def _connect_unixsocket(self, address: str) -> None:
        super()._connect_unixsocket(address)  # type: ignore[misc]  # where both the first and each later one is made
        self.socket.settimeout(self._patience_s)


def _to_stderr() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    return handler


def _is_journal(stream: str) -> bool:
    """Whether stderr is what systemd connected to the journal: it names the device and the inode of it."""
    status = os.fstat(sys.stderr.fileno())
    return stream == f"{status.st_dev}:{status.st_ino}"
