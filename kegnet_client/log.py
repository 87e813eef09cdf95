"""Where log lines go: to whoever reads along.

A terminal on stderr gets them as they are. Under systemd they go to the journal with their fields, elsewhere to
/dev/log, both as facility user, ident ``kegnet-client``; without any of these to stderr.

Security: whatever came from a file, a name or a server is made printable by the one who logs it.
"""

import logging
import logging.handlers
import os
import sys
from collections.abc import Mapping
from pathlib import Path

IDENT = "kegnet-client"
SYSLOG_SOCKET = Path("/dev/log")
_FACILITY_USER = "1"


def set_up(environ: Mapping[str, str]) -> None:
    """Send every log line of this process to the place that fits how it was started."""
    handler = _handler(environ)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # A handler that fails must not print its trace where the next line is expected.
    logging.raiseExceptions = False


def _handler(environ: Mapping[str, str]) -> logging.Handler:
    if sys.stderr.isatty():
        return _to_stderr()
    if _is_journal(environ.get("JOURNAL_STREAM", "")):
        # Only here, since it loads libsystemd.
        from systemd.journal import JournalHandler

        journal: logging.Handler = JournalHandler(SYSLOG_IDENTIFIER=IDENT, SYSLOG_FACILITY=_FACILITY_USER)
        return journal
    if SYSLOG_SOCKET.exists():
        try:
            syslog = logging.handlers.SysLogHandler(str(SYSLOG_SOCKET), logging.handlers.SysLogHandler.LOG_USER)
        except OSError:
            return _to_stderr()
        syslog.ident = f"{IDENT}[{os.getpid()}]: "
        return syslog
    return _to_stderr()


def _to_stderr() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    return handler


def _is_journal(stream: str) -> bool:
    """Whether stderr is what systemd connected to the journal: it names the device and the inode of it."""
    status = os.fstat(sys.stderr.fileno())
    return stream == f"{status.st_dev}:{status.st_ino}"
