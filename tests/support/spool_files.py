"""Files in a spool, as producers put them there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kegnet_client.core.records import Pour, Reading, format_record
from kegnet_client.spool.directory import Spool

POUR = Pour(pin=0, pulses=2, elapsed_ms=3000, started_ms=1_800_000_000_000)
READING = Reading("28-0316a2795c5b", 3875, 1_800_000_000_000)
LINE = format_record(POUR)


def names(spool: Spool) -> list[str]:
    return sorted(path.name for path in spool.path.iterdir())


def put(spool: Spool, name: str, data: bytes = LINE, mtime_s: float | None = None) -> Path:
    """Rename a file into place, as a producer does."""
    temp = spool.path / ".put.tmp"
    temp.write_bytes(data)
    if mtime_s is not None:
        os.utime(temp, (mtime_s, mtime_s))
    return temp.rename(spool.path / name)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody where this is root, whom no file mode stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
