"""A scan of the spool: which records stand in it, the oldest first."""

import itertools
import math
import os
from collections.abc import Container
from dataclasses import dataclass

from kegnet_client.core.records import is_record_name
from kegnet_client.spool.directory import NOT_REGULAR, why_stuck


@dataclass(frozen=True, slots=True)
class Scan:
    """What stands in the spool: the oldest records' names, oldest first, how many more there are, and the names
    that are like a record's with why they cannot be taken (directories, links, pipes, damaged files)."""

    oldest: list[str]
    more: int
    stuck: dict[str, str]


class Scanner:
    """A look for the ``limit`` oldest records whose names are not in ``skip``, by modification time, in the spool that
    is open as ``spool_fd``: in pieces, because of a hundred thousand files it takes most of a second.

    Memory is bounded by ``limit``, whatever stands in the directory.
    """

    def __init__(self, spool_fd: int, limit: int, skip: Container[str] = ()) -> None:
        self._entries = os.scandir(spool_fd)
        self._limit = limit
        self._skip = skip
        self._more = 0
        self._oldest: list[tuple[int, str]] = []
        """By modification time, sorted only when it is cut down to ``limit``."""
        self._newest_ns: float = math.inf
        """What is newer is not among the ``limit`` oldest."""
        self._stuck: dict[str, str] = {}

    def look(self, entries: int) -> bool:
        """Go on for so many ``entries``; whether there are more. Raises `OSError` where the directory fails."""
        seen = 0
        for entry in itertools.islice(self._entries, entries):
            seen += 1
            name = entry.name
            if not is_record_name(name) or name in self._skip:
                continue
            try:
                if not entry.is_file(follow_symlinks=False):
                    self._stuck[name] = NOT_REGULAR
                    continue
                mtime_ns = entry.stat(follow_symlinks=False).st_mtime_ns
                if mtime_ns > self._newest_ns:
                    self._more += 1
                else:
                    self._oldest.append((mtime_ns, name))
            except FileNotFoundError:
                pass
            except OSError as error:  # one bad file must not hide the others
                self._stuck[name] = why_stuck(error)
        if len(self._oldest) > self._limit * 5 // 4:
            self._cut()
        return seen == entries

    def close(self) -> None:
        """Give it up before its end."""
        self._entries.close()

    def finish(self) -> Scan:
        """What was found, after a look at what is left. Raises `OSError` where the directory fails."""
        while self.look(self._limit):
            pass
        self._cut()
        return Scan([name for _, name in self._oldest], self._more, self._stuck)

    def _cut(self) -> None:
        self._oldest.sort()
        if len(self._oldest) > self._limit:
            self._more += len(self._oldest) - self._limit
            del self._oldest[self._limit :]
            self._newest_ns = self._oldest[-1][0]
