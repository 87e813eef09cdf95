"""What systemd is told of this process (sd_notify); without systemd, nothing happens."""

import contextlib
import os
import time
from collections.abc import Mapping


class Supervisor:
    """systemd, if it is the one that started us."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._listens = "NOTIFY_SOCKET" in environ
        watchdog_us = int(environ.get("WATCHDOG_USEC", "0")) if environ.get("WATCHDOG_PID") == str(os.getpid()) else 0
        self.watchdog_s = watchdog_us / 1e6 or None
        """How often `alive` has to be called at least; None when nobody waits for it."""

    def ready(self) -> None:
        """The service is up."""
        self._notify("READY=1")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The service goes down; what it said last would soon be wrong."""
        self._notify("STOPPING=1\nSTATUS=")

    def alive(self) -> None:
        """Everything that must not stop has made progress."""
        self._notify("WATCHDOG=1")

    def status(self, line: str) -> None:
        """What ``systemctl status`` shows; one line, since the next one would be an assignment of its own."""
        self._notify("STATUS=" + " ".join(line.splitlines()))

    def _notify(self, message: str) -> None:
        if self._listens:
            # Only here, since it loads libsystemd.
            from systemd.daemon import notify

            with contextlib.suppress(OSError):  # nobody listens there any more; the next one may be heard again
                notify(message)
