"""A process in a box, as the supervisor sees it: its output in bounded pieces, its end, and being told to quit."""

import contextlib
import os
import selectors
import time
from collections.abc import Callable
from functools import partial

from kegnet_client.runner.box import Box
from kegnet_client.runner.text import printable

MAX_LINE_BYTES = 2000
LINES_AT_ONCE = 200
LINES_A_SECOND = 20.0
MAX_RESULT_BYTES = 64 * 1024
_READ_BYTES = 65536


class LineLog:
    """Bytes to lines, each of a size to read and no more of them than a rate allows; ``tell`` gets them."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._rest = b""
        self._tokens = float(LINES_AT_ONCE)
        self._at_s = time.monotonic()
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._take(line)

    def end(self) -> None:
        """Tell what is left."""
        if self._rest:
            self.feed(b"\n")
        if self._dropped:
            self._tell(f"({self._dropped} lines were dropped: they came too fast)")
            self._dropped = 0

    def _take(self, line: bytes) -> None:
        now_s = time.monotonic()
        self._tokens = min(self._tokens + (now_s - self._at_s) * LINES_A_SECOND, LINES_AT_ONCE)
        self._at_s = now_s
        if self._tokens < 1:
            self._dropped += 1
            return
        self._tokens -= 1
        if self._dropped:
            self._tell(f"({self._dropped} lines were dropped: they came too fast)")
            self._dropped = 0
        text = line[:MAX_LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
        self._tell(printable(text))


class Capture:
    """The first of what came, up to a bound."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._total = 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._total += len(data)
        self._data += data[: MAX_RESULT_BYTES - len(self._data)]

    def text(self) -> str:
        """All that is kept."""
        more = self._total - len(self._data)
        return self._data.decode("utf-8", "replace") + (f"\n({more} more bytes)\n" if more else "")


class BoxedProcess:
    """A process under the eyes of ``selector``; ``ended`` is called with its exit code after its last output."""

    def __init__(
        self,
        box: Box,
        selector: selectors.BaseSelector,
        out: Callable[[bytes], None],
        err: Callable[[bytes], None],
        ended: Callable[[int], None],
    ) -> None:
        self._box = box
        self._process = process = box.process
        self._selector = selector
        self._ended = ended
        self._pipes: dict[int, Callable[[bytes], None]] = {}
        for pipe, take in ((process.stdout, out), (process.stderr, err)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._pipes[pipe.fileno()] = take
                selector.register(pipe.fileno(), selectors.EVENT_READ, partial(self._read, pipe.fileno()))
        self._pidfd = os.pidfd_open(process.pid)
        selector.register(self._pidfd, selectors.EVENT_READ, self._reap)

    def quit(self) -> None:
        """Ask it to end."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def kill(self) -> None:
        """End it, and all in its box."""
        self._box.kill()

    def _read(self, fd: int) -> bool:
        """Whether there may be more."""
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(fd)
            del self._pipes[fd]
            return False
        self._pipes[fd](data)
        return len(data) == _READ_BYTES

    def _reap(self) -> None:
        code = self._process.wait()
        self._box.close()
        for fd in list(self._pipes):
            for _ in range(16):
                if not self._read(fd):
                    break
            if fd in self._pipes:
                self._selector.unregister(fd)
        self._selector.unregister(self._pidfd)
        os.close(self._pidfd)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._ended(code)
