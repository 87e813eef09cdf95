"""The serial line of a Kegboard: found, opened, read, written to.

A board is reset by the opening of its port, which makes its totals begin anew, if that raises the line DTR. Linux
raises it at the first opening and, unless it is told not to, lowers it at the last closing: it is told so here, and
every later opening leaves the board as it is.
"""

import contextlib
import errno
import importlib
import os
import select
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from socket import socket
from types import ModuleType, TracebackType
from typing import Any

from kegnet_client.core.errors import BoardError
from kegnet_client.core.wire.kegboard import BAUD, Decoder, Event, FramingBroken, FramingFixed, encode
from kegnet_client.core.wire.kegboard_messages import Message, PingCommand
from kegnet_client.producers.base import Stop

DEV = Path("/dev")
HELLO_S = 4.0
"""A board answers a ping at once, and one that was reset is back after two seconds."""
SILENCE_S = 0.25
"""What has begun and not ended after so long does not end any more: the largest frame takes 12 ms."""
WRITE_S = 1.0

_PATTERNS = ("serial/by-id/*", "ttyUSB*", "ttyACM*")
_CFLAG = 2
_BACKLOG_BYTES = 2048
_MAX_READ_BYTES = 65536
_REFILL_S = 0.01
_GATHER_S = 0.03
"""A busy line wakes this program no more often: USB hands over its bytes every 16 ms at most."""


class BoardPort:
    """The open line of the board at ``path``, held by this process alone; for one thread. Raises `BoardError`.

    ``stop`` ends every wait at once.
    """

    def __init__(self, path: Path, stop: Stop) -> None:
        self.path = path
        self.decoder = Decoder()
        self._stop = stop
        self._line = _open(path)

    def __enter__(self) -> "BoardPort":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the line to others."""
        with contextlib.suppress(OSError):  # a board that is unplugged
            self._line.close()

    def read(self, timeout_s: float | None, others: Sequence[socket] = ()) -> list[Event]:
        """What the board says next; nothing when ``timeout_s`` is over, the stop is set or ``others`` can be read."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._stop.is_set():
            left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
            is_within = self.decoder.is_within_frame
            patience_s = min(SILENCE_S, SILENCE_S if left_s is None else left_s) if is_within else left_s
            data = self._read_some(patience_s, others)
            if data:
                events = self.decoder.feed(data)
            elif data is None:
                return []
            elif is_within and patience_s == SILENCE_S:
                events = self.decoder.give_up()
            else:
                return []
            if events:
                return events
        return []

    def send(self, message: Message) -> None:
        """Tell the board ``message``."""
        try:
            self._line.write(encode(message))
        except OSError as error:
            raise self._lost(error) from error

    def says_hello(self) -> bool:
        """Whether a Kegboard is at the other end: it is asked, and any frame of its is an answer."""
        self.send(PingCommand())
        until_s = time.monotonic() + HELLO_S
        while not self._stop.is_set() and (left_s := until_s - time.monotonic()) > 0:
            if any(not isinstance(event, FramingBroken | FramingFixed) for event in self.read(left_s)):
                return True
        return False

    def _read_some(self, timeout_s: float | None, others: Sequence[socket]) -> bytes | None:
        """What has come; nothing after ``timeout_s``, and None if the board says nothing but another is ready."""
        try:
            ready, _, _ = select.select([self._line, self._stop, *others], [], [], timeout_s)
            if self._line not in ready:
                return None if ready else b""
            time.sleep(_GATHER_S)
            data = os.read(self._line.fileno(), _MAX_READ_BYTES)
            # Who was held up for long gets all that came meanwhile at one time, not what a buffer of the kernel holds.
            while len(data) >= _BACKLOG_BYTES and len(data) < _MAX_READ_BYTES:
                if not select.select([self._line], [], [], _REFILL_S)[0]:
                    break
                more = self._read_more()
                if not more:
                    break
                data += more
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost(OSError(errno.EIO, os.strerror(errno.EIO)))
        return data

    def _read_more(self) -> bytes:
        """What else has come; nothing where the line was lost meanwhile, which the next reading tells."""
        try:
            return os.read(self._line.fileno(), _MAX_READ_BYTES)
        except OSError:
            return b""

    def _lost(self, error: OSError) -> BoardError:
        if isinstance(error, _serial().SerialTimeoutException):
            return BoardError(f"{self.path}: the board takes no command; unplug it and plug it in again")
        return BoardError(f"{self.path}: the board was unplugged, or its cable is loose")


def find_ports(dev: Path = DEV) -> Iterator[Path]:
    """Where boards may be, each once; names that stay the same come first."""
    seen = set()
    for pattern in _PATTERNS:
        for path in sorted(dev.glob(pattern)):
            place = path.resolve()
            if place not in seen:
                seen.add(place)
                yield path


def open_board(device: Path | None, stop: Stop, dev: Path = DEV) -> BoardPort:
    """The line to the board at ``device``, or else to the first one that says hello. Raises `BoardError`.

    Limit: whatever else is at a serial port of USB is opened, too, and hears a ping, where no ``device`` is named.
    """
    if device is not None:
        return BoardPort(device, stop)
    reasons = []
    for path in find_ports(dev):
        try:
            port = BoardPort(path, stop)
        except BoardError as error:
            reasons.append(str(error))
            continue
        try:
            if port.says_hello():
                return port
            reasons.append(f"{path}: nothing there says hello as a Kegboard does")
        except BoardError as error:
            reasons.append(str(error))
        port.close()
    raise BoardError(
        "; ".join(reasons) or f"there is no serial port of USB in {dev}: plug the board in, or name its device"
    )


def _open(path: Path) -> Any:
    serial = _serial()
    try:
        line = serial.Serial(str(path), BAUD, timeout=0, write_timeout=WRITE_S, exclusive=True)
    except (OSError, termios.error, ValueError) as error:
        raise BoardError(f"{path}: {_explain(error)}") from error
    with contextlib.suppress(termios.error):
        attributes = termios.tcgetattr(line.fileno())
        attributes[_CFLAG] &= ~termios.HUPCL
        termios.tcsetattr(line.fileno(), termios.TCSANOW, attributes)
    return line


def _explain(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return "no such device: plug the board in, or fix the name"
    if number in (errno.EACCES, errno.EPERM):
        return "this user may not open it: sudo usermod -aG dialout USER, and log in anew"
    if number in (errno.EBUSY, errno.EWOULDBLOCK):
        return "another program has it open; end that one first"
    return "it is no serial port" if number in (None, errno.ENOTTY, errno.EINVAL, errno.EISDIR) else str(error)


def _serial() -> ModuleType:
    try:
        return importlib.import_module("serial")
    except ImportError:
        raise BoardError("pyserial is missing: pip install 'kegnet-client[kegboard]'") from None
