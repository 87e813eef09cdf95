"""One HTTPS exchange: POST bytes (or GET), get an answer, or a reason why there is none.

No retry, no redirect, no cookie, and nothing from the environment: no proxy, no netrc, no CA variables. The
connection is kept between exchanges (`kegnet_client.net.adapter`).

One deadline bounds the exchange, or the request and its answer one each where something is done in between: a timeout
starts anew with every byte, so a second thread shuts the socket when the time is up. Limit: it cannot shorten a name
lookup that hangs (the resolver's own timeouts end that one).
"""

import contextlib
import http.client
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from kegnet_client import __version__
from kegnet_client.core.errors import TransportError
from kegnet_client.core.wire.answer import Answer
from kegnet_client.net.adapter import Adapter, prepare
from kegnet_client.net.errors import explain_failure

if TYPE_CHECKING:
    from requests import PreparedRequest

MAX_BODY_BYTES = 256 * 1024
"""The verdicts on a whole batch, each with a long reason, are half of it."""

GIVE_UP_S = 30.0
_MAX_PREPARED = 64

_log = logging.getLogger(__name__)


class Transport:
    """The way to one server. ``context`` is None for plain http; ``wall_ms`` is the Unix time, for messages, and
    ``setting`` is what they call that says which server it is.

    With ``resets`` a connection ends by a reset, and what it did not carry
    within `GIVE_UP_S` is not sent any more: a request whose end is in doubt does not arrive later.

    Used by one thread at a time; `abort` may come from any.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None,
        deadline_s: float,
        wall_ms: Callable[[], int],
        setting: str = "serviceBaseURL",
        *,
        resets: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._deadline_s = deadline_s
        self._wall_ms = wall_ms
        self._setting = setting
        self._resets = resets
        self._max_body_bytes = max_body_bytes
        self._adapter = Adapter(context, self._register, self._begin_to_wait)
        self._meanwhile: Callable[[], object] | None = None
        self._socket: socket.socket | None = None
        self._aborted = False
        self._is_cut = False
        """The exchange under way was broken off."""
        self._alarm = _Alarm(self._cut)
        self._headers = {"User-Agent": f"kegnet-client/{__version__}", "Accept-Encoding": "identity"}
        self._prepared: dict[str, PreparedRequest] = {}

    def post(
        self,
        url: str,
        content_type: str,
        body: bytes,
        more_headers: Mapping[str, str] | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> Answer:
        """The server's answer to ``body``, its own body cut where it is too long.

        ``meanwhile`` is called once: before the first wait for the server, for which the time begins anew then, or at
        the end where it did not come to one.

        Raises `TransportError` when there was no whole answer within the deadline, `UntrustedServerError` when the
        other end could not prove who it is; it has not seen a byte of the request then.
        """
        self._meanwhile = meanwhile
        try:
            return self._exchange("POST", url, {"Content-Type": content_type, **(more_headers or {})}, body)
        finally:
            self._do_meanwhile()

    def put(self, url: str, content_type: str, body: bytes, more_headers: Mapping[str, str] | None = None) -> Answer:
        """The same for a PUT."""
        return self._exchange("PUT", url, {"Content-Type": content_type, **(more_headers or {})}, body)

    def get(self, url: str, more_headers: Mapping[str, str] | None = None) -> Answer:
        """What the server has at ``url``; bounds and errors as with `post`."""
        return self._exchange("GET", url, dict(more_headers or {}), None)

    def shake_hands(self, url: str) -> ssl.SSLSocket:
        """Connect to the server of ``url``, over TLS, and ask nothing; the connection. Errors as with `post`."""
        with self._in_time():
            try:
                secured: ssl.SSLSocket = self._adapter.connect(self.spell(url), self._deadline_s).sock
            except BaseException:
                self._adapter.close()
                raise
            return secured

    def spell(self, url: str) -> str:
        """``url`` with its characters encoded as they go over the wire."""
        return str(prepare("POST", url).url)

    def _exchange(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Answer:
        with self._in_time():
            return self._ask(self._prepare(method, url, headers, body))

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        """What is done here ends at the deadline, or by `abort`; whatever fails is a `TransportError`."""
        self._is_cut = False
        self._alarm.set(self._deadline_s)
        try:
            if self._aborted:
                raise ConnectionAbortedError
            yield
        except (
            OSError,
            http.client.HTTPException,
        ) as error:  # requests' errors are OSErrors, too
            if self._alarm.rang:
                raise TransportError(f"no whole answer within {self._deadline_s:g} s") from error
            raise explain_failure(error, self._deadline_s, self._wall_ms(), self._setting) from error
        finally:
            self._alarm.clear()

    def _begin_to_wait(self) -> None:
        if self._meanwhile is not None and not self._is_cut:
            self._alarm.clear()
            self._do_meanwhile()
            if not self._alarm.rang:
                self._alarm.set(self._deadline_s)

    def _do_meanwhile(self) -> None:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            try:
                meanwhile()
            except OSError as error:  # it would pass for a fault of the exchange
                raise RuntimeError(f"what was to be done meanwhile failed: {error}") from error

    def _ask(self, request: "PreparedRequest") -> Answer:
        is_whole = False
        try:
            response = self._adapter.send(request, timeout=self._deadline_s)
            body = _read(response.raw, self._max_body_bytes)
            if self._is_cut:
                # To HTTP a connection that was cut may look like one that came to its end.
                raise ConnectionAbortedError
            is_whole = response.raw.isclosed()
        finally:
            if not is_whole:
                self._adapter.close()
        _log.debug("%s %s: %d, %d bytes", request.method, request.url, response.status_code, len(body))
        return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)

    def _prepare(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> "PreparedRequest":
        # Preparing costs more than sending, and of one call to the next only the body differs.
        request = self._prepared.get(url)
        if request is None or request.method != method:
            if len(self._prepared) >= _MAX_PREPARED:
                self._prepared.clear()
            self._prepared[url] = request = prepare(method, url)
        request.body = body
        # A plain dictionary, whose names are ours: it is copied on the way.
        request.headers = dict(headers, **self._headers)  # type: ignore[assignment]  # a mapping is what it takes
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        return request

    def abort(self) -> None:
        """End the exchange that is under way, as a broken connection would, and let none begin any more."""
        self._aborted = True
        self._cut()

    def _cut(self) -> None:
        self._is_cut = True
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own shutdown, which another thread's read does not survive.
                # What ends by a reset says no goodbye before.
                socket.socket.shutdown(connection, socket.SHUT_RD if self._resets else socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """End the kept connection; the next exchange gets another."""
        self._adapter.close()

    def close(self) -> None:
        """Close the kept connection; it is not used any more."""
        self._alarm.stop()
        self._adapter.close()

    def _register(self, connection: socket.socket) -> None:
        self._socket = connection
        if self._resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(GIVE_UP_S * 1000))
        if self._is_cut:  # before there was anything to shut down, such as during a slow name lookup
            raise ConnectionAbortedError


def _read(response: http.client.HTTPResponse, most_bytes: int) -> bytes:
    body = b""
    # Once is not enough: only the read that finds nothing more tells an end from a connection that broke.
    while len(body) < most_bytes and (more := response.read(most_bytes - len(body))):
        body += more
        if response.length == 0:
            return body
    if response.length and len(body) < most_bytes:
        raise http.client.IncompleteRead(body, response.length)
    return body


class _Alarm:
    """Calls ``ring`` when the time is up, on a thread of its own that sleeps for ever while nothing is set."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._changed = threading.Condition()
        self._due_s: float | None = None
        self._asleep = False
        self._stopped = False
        self.rang = False
        threading.Thread(target=self._run, name="deadline", daemon=True).start()

    def set(self, seconds: float) -> None:
        with self._changed:
            self.rang = False
            self._due_s = time.monotonic() + seconds
            # While it waits for an earlier time it looks again by itself; waking it each time costs a switch.
            if self._asleep:
                self._changed.notify()

    def clear(self) -> None:
        with self._changed:
            self._due_s = None

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                left_s = None if self._due_s is None else self._due_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    self._due_s = None
                    self.rang = True
                    self._ring()  # under the lock, so that it never ends the exchange after this one
                    continue
                self._asleep = left_s is None
                self._changed.wait(left_s)
