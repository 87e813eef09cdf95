"""A GPIO line that tells each of its rising edges, or lights an LED, by libgpiod's own binding (the extra ``gpio``).

The kernel counts and stamps each edge, and keeps the last `BUFFER_EDGES` for us: what we read late is not late. It is
asked for no debounce: on a line without one in its hardware that is whole ticks, begun anew at each edge, and hides
every pulse of a pour.
"""

import errno
import importlib
import os
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from kegnet_client.core.errors import LineError

DEV = Path("/dev")
BUFFER_EDGES = 1024
MAX_READS = 8
"""A line that chatters faster than it is read must not keep us from the others."""
CONSUMER = "kegnet-client"


class Bias(Enum):
    """What pulls an open line; most meters only pull it down."""

    UP = "pull-up"
    DOWN = "pull-down"
    NONE = "none"


class Line(Protocol):
    """What a flow meter needs of its line. Every method may raise `OSError`: then it is gone."""

    def fileno(self) -> int:
        """Readable when there are edges."""

    def read(self) -> list[tuple[int, int]]:
        """The edges that wait: each one's time in nanoseconds since the boot, and its number since the opening."""

    def look(self) -> None:
        """See whether its chip is still there: a chip that vanishes wakes nobody before Linux 6.3."""

    def close(self) -> None:
        """Leave it to others."""


class GpioLine:
    """The line ``line``, a number or a name, of the ``chip``; without one it is looked for. Raises `LineError`."""

    def __init__(self, line: str, chip: Path | None, bias: Bias) -> None:
        library = _library()
        path, offset = _find(library, line, chip)
        pulls = {Bias.UP: "PULL_UP", Bias.DOWN: "PULL_DOWN", Bias.NONE: "DISABLED"}
        settings = library.LineSettings(
            direction=library.line.Direction.INPUT,
            edge_detection=library.line.Edge.RISING,
            bias=getattr(library.line.Bias, pulls[bias]),
        )
        try:
            self._request: Any = library.request_lines(
                str(path), {offset: settings}, consumer=CONSUMER, event_buffer_size=BUFFER_EDGES
            )
        except OSError as error:
            raise LineError(_explain(library, path, offset, error, bias)) from error
        self._offset = offset

    def fileno(self) -> int:
        """See `Line`."""
        return int(self._request.fd)

    def read(self) -> list[tuple[int, int]]:
        """See `Line`."""
        edges: list[tuple[int, int]] = []
        # The kernel stamps with the clock that stops while the machine is suspended.
        suspended_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        for _ in range(MAX_READS):
            try:
                if not self._request.wait_edge_events(0):
                    break
                events = self._request.read_edge_events(BUFFER_EDGES)
            except OSError:
                if not edges:
                    raise
                break  # what has been read counts, and the next reading tells that the chip is gone
            edges += [(event.timestamp_ns + suspended_ns, event.line_seqno) for event in events]
        return edges

    def look(self) -> None:
        """See `Line`."""
        self._request.get_value(self._offset)

    def close(self) -> None:
        """See `Line`."""
        self._request.release()


class GpioLamp:
    """An LED on the line ``line``, named as for `GpioLine`. Raises `LineError`, and `OSError` when its chip is gone."""

    def __init__(self, line: str, chip: Path | None) -> None:
        library = _library()
        path, offset = _find(library, line, chip)
        settings = library.LineSettings(direction=library.line.Direction.OUTPUT)
        try:
            self._request: Any = library.request_lines(str(path), {offset: settings}, consumer=CONSUMER)
        except OSError as error:
            raise LineError(_explain(library, path, offset, error, Bias.NONE)) from error
        self._offset = offset
        self._dark, self._lit = library.line.Value.INACTIVE, library.line.Value.ACTIVE

    def light(self, is_lit: bool) -> None:
        """Switch it."""
        self._request.set_value(self._offset, self._lit if is_lit else self._dark)

    def close(self) -> None:
        """Leave it to others."""
        self._request.release()


def _library() -> ModuleType:
    try:
        library = importlib.import_module("gpiod")
    except ImportError:
        raise LineError(
            "the Python package gpiod is not there: install kegnet-client with its extra gpio "
            "(service/install does so where there is a /dev/gpiochip0)"
        ) from None
    if not hasattr(library, "request_lines"):
        raise LineError("the Python package gpiod is of version 1; it takes 2.2 or newer: pip install 'gpiod>=2.2'")
    return library


def _find(library: ModuleType, line: str, chip: Path | None) -> tuple[Path, int]:
    """The chip that has the line, and the line's number on it."""
    if chip is not None or line.isdecimal():
        path = chip or DEV / "gpiochip0"
        with _opened(library, path) as opened:
            try:
                return path, int(opened.line_offset_from_id(int(line) if line.isdecimal() else line))
            except (OSError, ValueError):
                count = opened.get_info().num_lines
                raise LineError(
                    f"{path} has no line {line}: write a number below {count}, or a name that gpioinfo shows"
                ) from None
    for path in _chips():
        with _opened(library, path) as opened:
            try:
                return path, int(opened.line_offset_from_id(line))
            except OSError:
                continue
    raise LineError(f"no GPIO chip has a line {line}: gpioinfo shows the names that there are, or write its number")


def _chips() -> Iterator[Path]:
    chips = sorted(DEV.glob("gpiochip*"))
    if not chips:
        raise LineError("this machine has no GPIO chip (/dev/gpiochip*): a flow meter hangs on a Raspberry Pi's")
    yield from chips


def _opened(library: ModuleType, path: Path) -> Any:
    try:
        return library.Chip(str(path))
    except OSError as error:
        match error.errno:
            case errno.ENOENT:
                why = "is not there: ls /dev/gpiochip* shows those that are"
            case errno.EACCES | errno.EPERM:
                why = "may not be opened by this user: put it into the group gpio (sudo usermod -aG gpio USER)"
            case _:
                why = f"cannot be opened: {_text(error)}"
        raise LineError(f"{path} {why}") from error


def _explain(library: ModuleType, path: Path, offset: int, error: OSError, bias: Bias) -> str:
    match error.errno:
        case errno.EBUSY:
            with _opened(library, path) as opened:
                holder = opened.get_line_info(offset).consumer or "another program"
            why = f"is in use by {holder!r}: end that, or write another line"
        case errno.EINVAL | errno.EOPNOTSUPP if bias is not Bias.NONE:
            why = f"cannot be watched with a {bias.value}: put a resistor there and write bias = none"
        case _:
            why = f"cannot be used: {_text(error)}"
    return f"line {offset} of {path} {why}"


def _text(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
