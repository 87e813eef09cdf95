"""How far a command is that goes through many records, and its lines about some of them."""

import sys
import time

_PROGRESS_S = 0.2


def one_line(text: str) -> str:
    """``text``, which may be anybody's, without anything that a terminal could take for more than text."""
    return "".join(one if one.isprintable() else "?" for one in text).encode("ascii", "backslashreplace").decode()


class Progress:
    """How far it is, in one line of the terminal, where there is one."""

    def __init__(self, total: int | None = None, what: str = "records") -> None:
        self._of = "" if total is None else f" of {total}"
        self._what = what
        self._done = 0
        self._shows = sys.stderr.isatty()
        self._due_s = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_error: object) -> None:
        self._erase()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if self._shows and time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + _PROGRESS_S
            print(f"\r{self._done}{self._of} {self._what}", end="", file=sys.stderr, flush=True)

    def print(self, line: str) -> None:
        """``line``, not mixed up with the progress."""
        self._erase()
        print(line, flush=True)

    def _erase(self) -> None:
        if self._shows:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
