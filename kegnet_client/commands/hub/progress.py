"""How far a command is that takes its time, and its lines about some of the records that it goes through."""

import sys
import time

_PROGRESS_S = 0.2
ERASE = "\r\x1b[K"


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
            print(ERASE, end="", file=sys.stderr, flush=True)


class Steps:
    """What a command is at, and how much of it is done, in one line of the terminal, where there is one."""

    def __init__(self) -> None:
        self._what = ""
        self._done = 0
        self._shows = sys.stderr.isatty()
        self._due_s = 0.0

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._shows:
            print(ERASE, end="", file=sys.stderr, flush=True)

    def step(self, what: str, done: int, scale: int = 1) -> None:
        """``done`` more of ``what`` is done, which is told in units of ``scale``; 0 is its beginning."""
        if what != self._what:
            self._what, self._done, self._due_s = what, 0, 0.0
        self._done += done
        if self._shows and time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + _PROGRESS_S
            count = f"{self._done // scale} " if self._done else ""
            print(f"{ERASE}{count}{what}", end="", file=sys.stderr, flush=True)

    def step_bytes(self, what: str, done: int) -> None:
        """The same for bytes, told in MB."""
        self.step(what, done, 1_000_000)
