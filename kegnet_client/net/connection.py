"""One connection to one server: http.client's, with our own way to its address, and bounds on what a server may do.

Each class says which fault in it a server could make a lost record of. Names that are not public are not used.
"""

import contextlib
import errno
import http.client
import io
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

MAX_ANSWER_BYTES = 1024 * 1024
"""Of all that belongs to one answer: what comes before it, its head, its body, and what frames the body."""

_MIN_CONNECT_S = 0.1
"""For an address whose turn comes when the time is already up."""


class Connection(http.client.HTTPConnection):
    """The connection to ``host``, with TLS where there is a ``context``.

    ``register`` is called with every socket before it waits for the other end. The exchange is broken off from another
    thread by shutting the last one down; `OSError` from ``register`` ends the connection.
    """

    sock: Any
    """A `_Bounded`, None while it is not connected."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext | None, register: Callable[[socket.socket], None]
    ) -> None:
        self.default_port = http.client.HTTP_PORT if context is None else http.client.HTTPS_PORT
        super().__init__(host, port)
        self.response_class = Answer
        self._context = context
        self._register = register
        self._parts: list[bytes] | None = None
        if context is not None:
            context.sslsocket_class = _TlsSocket

    def connect(self) -> None:
        """Connect to the first of the host's addresses that answers.

        The time to connect is divided among them, so that behind one that leads nowhere (IPv6 without a route, mostly)
        the next is still tried.
        """
        timeout_s: Any = self.timeout
        due_s = time.monotonic() + timeout_s
        addresses = _look_up(self.host, self.port)
        for number, address in enumerate(addresses, 1):
            within_s = (due_s - time.monotonic()) / (len(addresses) - number + 1)
            try:
                self.sock = self._reach(address, max(within_s, _MIN_CONNECT_S))
            except OSError:
                if number == len(addresses):
                    raise
            else:
                break
        self.sock.settimeout(timeout_s)
        if self._context is not None:
            self._shake_hands(self._context)

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send headers and body in one write: one TLS record, and one packet where they fit."""
        parts: list[bytes] = []
        self._parts = parts
        try:
            super().request(*args, **kwargs)
        finally:
            self._parts = None
        self.sock.allow(MAX_ANSWER_BYTES)
        self.send(b"".join(parts))

    def send(self, data: Any) -> None:
        """As http.client's, which calls it for each part of a request."""
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(data)

    def is_fresh(self) -> bool:
        """Whether it is connected and silent: what is there before a request was sent is no answer to it.

        A read shows the end of the connection, bytes in the socket and bytes in TLS alike; where there is nothing to
        read, which is the rule, a look takes a fraction of its time.
        """
        if self.sock is None or self.sock.has_more:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if not poll.poll(0) and not (self._context is not None and self.sock.pending()):
            return True
        self.sock.setblocking(False)
        try:
            self.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            self.sock.settimeout(self.timeout)
            return True
        except OSError:
            return False
        return False

    def _reach(self, address: "_Address", within_s: float) -> "_Bounded":
        family, kind, protocol, _, where = address
        plain = _Bounded(family, kind, protocol)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A connection that is under way can be shut down, one that has not begun cannot: so it begins at once.
            plain.setblocking(False)
            code = plain.connect_ex(where)
            self._register(plain)
            if code == errno.EINPROGRESS:
                poll = select.poll()
                poll.register(plain, select.POLLOUT)
                if not poll.poll(within_s * 1000):
                    raise TimeoutError
                code = plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        except BaseException:
            plain.close()
            raise
        return plain

    def _shake_hands(self, context: ssl.SSLContext) -> None:
        # The certificate is for the name without the root's dot, and for the address without the interface.
        name = self.host.rstrip(".").partition("%")[0]
        self.sock = context.wrap_socket(self.sock, server_hostname=name, do_handshake_on_connect=False)
        self._register(self.sock)
        self.sock.do_handshake()


class Answer(http.client.HTTPResponse):
    """http.client's, which takes only a 100 for an interim answer, and reads the answer itself as that to the next
    request; and which believes in chunks of less than nothing."""

    def begin(self) -> None:
        """Read the head of the answer, and of all the interim ones before it."""
        super().begin()
        while self.status < 200:
            if self.status == http.client.SWITCHING_PROTOCOLS:
                raise http.client.HTTPException("the server speaks another protocol now, which nobody asked for")
            self.headers = None  # type: ignore[assignment]  # what makes it read another
            super().begin()

    def read(self, amt: int | None = None) -> bytes:
        """As http.client's."""
        try:
            return super().read(amt)
        except ValueError as error:
            raise http.client.HTTPException("a chunk of less than nothing") from error


class _Bounded(socket.socket):
    """A socket that reads no more than it is allowed to, and knows of what was read ahead of an answer's end."""

    has_more = False
    """More came than the answer that was read."""
    _left = 0
    _is_over = False

    def allow(self, size: int) -> None:
        """The next answer may have ``size`` bytes."""
        self._left = size
        self._is_over = False

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """`HTTPException` once it is more than is allowed."""
        if self._is_over:
            raise BlockingIOError(errno.EAGAIN, "the answer is over")
        size = super().recv_into(*args, **kwargs)
        self._left -= size
        if self._left < 0:
            raise http.client.HTTPException(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        return size

    def makefile(self, *_: Any, **__: Any) -> Any:
        """What reads one answer."""
        return _Reader(self, super().makefile("rb", buffering=0))

    def end(self, reader: io.BufferedReader) -> None:
        """The answer is over for its ``reader``, which may have read further."""
        self._is_over = True
        with contextlib.suppress(OSError):  # it looks into the socket, too
            self.has_more = reader.peek() != b""


class _TlsSocket(_Bounded, ssl.SSLSocket):
    """The same inside TLS."""


class _Reader(io.BufferedReader):
    """Reads one answer, and says when it is over."""

    def __init__(self, bounded: _Bounded, raw: Any) -> None:
        super().__init__(raw)
        self._bounded = bounded

    def close(self) -> None:
        if not self.closed:
            self._bounded.end(self)
        super().close()


_Address = tuple[int, int, int, str, Any]


def _look_up(host: str, port: int) -> Sequence[_Address]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "it can be no host's name") from None
