"""The report of a check: a line a part, and the exit code of the first part that failed."""

import sys
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from kegnet_client.core.errors import KegnetError
from kegnet_client.host.colour import GREEN, RED, paint
from kegnet_client.spool.directory import printable

_T = TypeVar("_T")


class Part(NamedTuple):
    """What was found of one part."""

    part: str
    ok: bool
    text: str


class Report:
    """Looks at one part after the other, and keeps the exit code of the first that failed. ``tell`` gets each."""

    def __init__(self, tell: Callable[[Part], None]) -> None:
        self.code = 0
        self._tell = tell

    def on(self, part: str, look: Callable[[], _T], describe: Callable[[_T], str]) -> _T | None:
        """What ``look`` found; None when it failed."""
        try:
            found = look()
        except KegnetError as error:
            self.code = self.code or error.exit_code
            self._tell(Part(part, False, str(error)))
            return None
        self._tell(Part(part, True, describe(found)))
        return found


def print_part(part: Part) -> None:
    """A line for people, or several where there is much to say."""
    mark = paint("ok  ", GREEN, sys.stdout) if part.ok else paint("FAIL", RED, sys.stdout)
    for line in part.text.splitlines():
        print(f"{mark}  {part.part:<13}  {printable(line)}")
