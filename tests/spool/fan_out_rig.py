"""What is around a fan-out: a producer before it, and the uploaders before and behind it."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from kegnet_client.spool.directory import Spool, SpoolFile
from kegnet_client.spool.fan_out import QUEUES, FanOut, queue_path

A, B, C = "kegnet", "mqtt", "xively"
MTIME_NS = 1_700_000_000_123_456_789


def drop(spool: Spool, number: int, name: str = "") -> None:
    path = spool.path / (name or f"{number}.pour")
    path.write_text(f"0,{number + 1},8123,{1_700_000_000_000 + number}\n")
    os.utime(path, ns=(MTIME_NS, MTIME_NS))


def take(fan_out: FanOut, *files: SpoolFile) -> list[bool]:
    """Whether each was taken over. Raises `OSError`."""
    fates = fan_out.take(files)
    for fate in fates:
        if isinstance(fate, OSError):
            raise fate
    return list(map(bool, fates))


def take_all(spool: Spool, sinks: Sequence[str], fan_out: FanOut | None = None, at_once: int = 1) -> None:
    """What the uploader in front of the queues does."""
    fan_out = fan_out or FanOut(spool, sinks)
    names = sorted(path.name for path in spool.path.glob("*.pour"))
    for begin in range(0, len(names), at_once):
        files = []
        for name in names[begin : begin + at_once]:
            with suppress(FileNotFoundError):  # the first one's take went on with what had been marked before
                files.append(spool.read(name))
        take(fan_out, *files)


def queued(spool: Spool, sink: str) -> list[str]:
    """The records in the queue of ``sink``."""
    queue = queue_path(spool.path, sink)
    return [path.read_text() for path in sorted(queue.glob("[!.]*.pour"))] if queue.exists() else []


def deliver(spool: Spool, sink: str, delivered: Counter[tuple[str, str]]) -> None:
    """What the uploader of a queue does."""
    queue = queue_path(spool.path, sink)
    for path in sorted(queue.glob("[!.]*.pour")) if queue.exists() else ():
        delivered[sink, path.read_text()] += 1
        path.unlink()


def hidden(spool: Spool) -> list[str]:
    return [str(path) for path in (spool.path / QUEUES).glob("*/.*") if path.is_file()]
