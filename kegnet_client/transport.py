"""One HTTPS exchange: POST bytes (or GET), get an answer, or a reason why there is none.

No retry, no redirect, no cookie, and nothing from the environment: no proxy, no netrc, no CA variables. The
connection is kept between exchanges. requests' adapter is used without its Session, whose conveniences are
just what must not happen here.

One deadline bounds the exchange: requests' timeout starts anew with every byte, so a second thread shuts the
socket when the time is up. Each of a host's addresses gets its share of the time, so that a first one that leads
nowhere (IPv6 without a route, mostly) leaves enough for the next. Limit: it cannot shorten a name lookup that hangs
(the resolver's own timeouts end that one).
"""

import contextlib
import http.client
import logging
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import SystemTimeWarning

from kegnet_client import __version__
from kegnet_client.core.delivery import Answer
from kegnet_client.core.errors import TransportError, UntrustedServerError
from kegnet_client.left_out import left_out

# They guess what encoding a text is in, which nobody asks here, and are a twelfth of the whole program's memory.
with left_out("charset_normalizer", "chardet"):
    import requests
    from requests.adapters import HTTPAdapter

MAX_BODY_BYTES = 256 * 1024
"""The verdicts on a whole batch, each with a long reason, are half of it."""

_MIN_CONNECT_S = 0.1
"""For an address whose turn comes when the time is already up."""

_X509_NOT_YET_VALID = 9
_X509_EXPIRED = 10
_X509_WRONG_NAME = (62, 64)
_X509_SELF_SIGNED = (18, 19)
_X509_UNKNOWN_ISSUER = (2, 20, 21)

# urllib3 warns at every connection while the clock is unset; the certificate's error says it, once.
warnings.filterwarnings("ignore", category=SystemTimeWarning)
# Nor does an answer that is bad in its form need a trace of its own in the log, each time.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Transport:
    """The way to one server. ``context`` is None for plain http; ``wall_ms`` is the Unix time, for messages.

    Used by one thread at a time; `abort` may come from any.
    """

    def __init__(self, context: ssl.SSLContext | None, deadline_s: float, wall_ms: Callable[[], int]) -> None:
        self._deadline_s = deadline_s
        self._wall_ms = wall_ms
        self._adapter = _Adapter(context, self._connected)
        self._socket: socket.socket | None = None
        self._aborted = False
        self._alarm = _Alarm(self.abort)
        self._headers = {"User-Agent": f"kegnet-client/{__version__}", "Accept-Encoding": "identity"}
        self._prepared: dict[str, requests.PreparedRequest] = {}

    def post(self, url: str, content_type: str, body: bytes, more_headers: Mapping[str, str] | None = None) -> Answer:
        """The server's answer to ``body``, its own body cut at `MAX_BODY_BYTES`.

        Raises `TransportError` when there was no whole answer within the deadline, `UntrustedServerError` when the
        other end could not prove who it is; it has not seen a byte of the request then.
        """
        return self._exchange("POST", url, {"Content-Type": content_type, **(more_headers or {})}, body)

    def get(self, url: str) -> Answer:
        """What the server has at ``url``; bounds and errors as with `post`."""
        return self._exchange("GET", url, {}, None)

    def spell(self, url: str) -> str:
        """``url`` with its characters encoded as they go over the wire."""
        return str(requests.Request("POST", url).prepare().url)

    def _exchange(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Answer:
        self._aborted = False
        self._alarm.set(self._deadline_s)
        try:
            request = self._prepare(method, url, headers, body)
            exchange = self._adapter.send(request, stream=True, timeout=(self._deadline_s, self._deadline_s)).raw
            try:
                answer_body = _read(exchange.response)
            except BaseException:
                exchange.break_off()
                raise
            exchange.finish()
            if self._aborted:
                # To HTTP a connection that was cut may look like one that came to its end.
                raise ConnectionAbortedError
            answer_headers = {name.lower(): value for name, value in exchange.response.headers.items()}
            return Answer(exchange.response.status, answer_headers, answer_body)
        except Exception as error:
            # Whatever a server says must end here: http.client raises more than its documentation names.
            if self._alarm.rang:
                raise TransportError(f"no whole answer within {self._deadline_s:g} s") from error
            raise explain_failure(error, self._deadline_s, self._wall_ms()) from error
        finally:
            self._alarm.clear()

    def _prepare(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> requests.PreparedRequest:
        # Preparing costs more than sending, and of one call to the next only the body differs.
        request = self._prepared.get(url)
        if request is None or request.method != method:
            self._prepared[url] = request = requests.Request(method, url).prepare()
        request.body = body
        # A plain dictionary, whose names are ours: it is copied on the way.
        request.headers = dict(headers, **self._headers)  # type: ignore[assignment]  # a mapping is what it takes
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        return request

    def abort(self) -> None:
        """End the exchange that is under way, as a broken connection would."""
        self._aborted = True
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own shutdown, which another thread's read does not survive.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the kept connection."""
        self._alarm.stop()
        self._adapter.close()

    def _connected(self, connection: socket.socket) -> None:
        self._socket = connection
        if self._aborted:  # before there was anything to shut, such as during a slow name lookup
            raise ConnectionAbortedError


def _read(response: http.client.HTTPResponse) -> bytes:
    body = b""
    # Once is not enough: only the read that finds nothing more tells an end from a connection that broke.
    while len(body) < MAX_BODY_BYTES and (more := response.read(MAX_BODY_BYTES - len(body))):
        body += more
        if response.length == 0:
            return body
    if response.length and len(body) < MAX_BODY_BYTES:
        raise http.client.IncompleteRead(body, response.length)
    return body


def explain_failure(error: Exception, deadline_s: float, wall_ms: int) -> TransportError:
    """What the failed exchange's ``error`` means to a person; ``wall_ms`` is the Unix time."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UntrustedServerError(_explain_certificate(cause, wall_ms))
        if isinstance(cause, socket.gaierror):
            return TransportError(f"the server's name is not found ({cause.strerror})")
        if isinstance(cause, ssl.SSLError):
            return TransportError(f"TLS failed ({cause.reason or cause.strerror or cause})")
        if isinstance(cause, TimeoutError):
            return TransportError(f"no answer within {deadline_s:g} s")
        if isinstance(cause, OSError) and cause.strerror:
            return TransportError(f"no connection ({cause.strerror})")
    if isinstance(error, requests.Timeout):
        return TransportError(f"no answer within {deadline_s:g} s")
    return TransportError(f"the connection broke ({type(error).__name__})")


class _Adapter(HTTPAdapter):
    """requests' adapter with our TLS context alone, which tells of each socket it connects."""

    def __init__(self, context: ssl.SSLContext | None, connected: Callable[[socket.socket], None]) -> None:
        self._context = context
        self._connected = connected
        self._ways: dict[str, tuple[HTTPConnectionPool, str]] = {}
        self._shell = requests.Response()
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        connected = self._connected

        class PlainConnection(_OneWrite, _EachAddress, HTTPConnection):
            response_class = _Response

            def connect(self) -> None:
                super().connect()
                connected(self.sock)

        class TlsConnection(_OneWrite, _EachAddress, HTTPSConnection):
            response_class = _Response

            def connect(self) -> None:
                with contextlib.ExitStack() as self._handshake:
                    super().connect()
                    connected(self.sock)

            def _new_conn(self) -> socket.socket:
                plain = super()._new_conn()
                # The handshake moves its descriptor into an object that is not seen before the end of it.
                try:
                    connected(self._handshake.enter_context(plain.dup()))
                except OSError:
                    plain.close()
                    raise
                return plain

        class PlainPool(_DirectPool):
            ConnectionCls = PlainConnection

        class TlsPool(_DirectPool, HTTPSConnectionPool):
            ConnectionCls = TlsConnection

        # Without our context there is no TLS at all: urllib3 would make one that trusts whom the system trusts.
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool} if self._context is None else {"https": TlsPool}

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        if self._context is None:
            return host, {}
        return host, {"ssl_context": self._context, "cert_reqs": self._context.verify_mode.name}

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> Any:
        """As requests does it, once for each URL."""
        return self._way(request)[0]

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """The path: there is no proxy."""
        return self._way(request)[1]

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """A shell around the exchange: its answer is read here, and no cookies are."""
        self._shell.raw = resp
        return self._shell

    def close(self) -> None:
        """Close the kept connection."""
        for pool, _ in self._ways.values():
            pool.close()
        self._ways.clear()
        super().close()

    def _way(self, request: requests.PreparedRequest) -> tuple[HTTPConnectionPool, str]:
        url = str(request.url)
        if url not in self._ways:
            self._ways[url] = (super().get_connection_with_tls_context(request, True), request.path_url)
        return self._ways[url]

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: requests would load its own list of authorities into our context here."""


class _DirectPool(HTTPConnectionPool):
    """urllib3's pool, whose one exchange is http.client's own: what urllib3 does around it costs as much again, and
    is for retries, redirects and decoding, none of which may happen here."""

    def urlopen(self, method: str, url: str, *, body: Any, headers: Any, timeout: Any, **_: Any) -> Any:  # type: ignore[override]  # what requests' adapter calls it with
        connection: Any = self._get_conn()
        try:
            connection.timeout = timeout.connect_timeout
            if connection.is_closed:
                connection.connect()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # A server may have answered before it read everything, and left.
                connection.request(method, url, body=body, headers=headers)
            return _Exchange(self, connection, http.client.HTTPConnection.getresponse(connection))
        except BaseException:
            connection.close()
            self._put_conn(connection)
            raise


class _Exchange:
    """An answer to be read, and the connection that it comes over."""

    def __init__(self, pool: _DirectPool, connection: Any, response: http.client.HTTPResponse) -> None:
        self.response = response
        self._pool = pool
        self._connection = connection

    def finish(self) -> None:
        """Keep the connection if all of the answer was read, end that of a server that has more to say."""
        if self.response.isclosed():
            self._pool._put_conn(self._connection)
        else:
            self.break_off()

    def break_off(self) -> None:
        """Nothing more is to be had over this connection."""
        self.response.close()
        self._connection.close()
        self._pool._put_conn(self._connection)


class _OneWrite(http.client.HTTPConnection):
    """Sends headers and body in one write: one TLS record, and one packet where they fit."""

    _parts: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        parts: list[bytes] = []
        self._parts = parts
        try:
            super().request(*args, **kwargs)
        finally:
            self._parts = None
        super().send(b"".join(parts))

    def send(self, data: Any) -> None:
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(data)


class _EachAddress(HTTPConnection):
    """Divides the time to connect among the host's addresses; urllib3 gives each of them all of it."""

    def _new_conn(self) -> socket.socket:
        timeout_s: Any = self.timeout
        due_s = time.monotonic() + timeout_s
        found = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        for number, one in enumerate(found[:-1]):
            with contextlib.suppress(OSError):
                return self._connect_to(one, (due_s - time.monotonic()) / (len(found) - number), timeout_s)
        return self._connect_to(found[-1], due_s - time.monotonic(), timeout_s)

    def _connect_to(self, found: Any, within_s: float, timeout_s: float) -> socket.socket:
        family, kind, protocol, _, address = found
        plain = socket.socket(family, kind, protocol)
        try:
            for option in self.socket_options or ():
                plain.setsockopt(*option)
            plain.settimeout(max(within_s, _MIN_CONNECT_S))
            plain.connect(address)
            plain.settimeout(timeout_s)
        except BaseException:
            plain.close()
            raise
        return plain


class _Response(http.client.HTTPResponse):
    """http.client's, which takes a negative chunk size for "all there is", and of the interim answers (1xx) only a 100
    for one: the answer itself would be read as that to the next request."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # a hook that typeshed does not show
            if line[1] >= 200:
                return line
            http.client.parse_headers(self.fp)

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]  # a hook that typeshed does not show
        if size < 0:
            raise http.client.HTTPException(f"a chunk of {size} bytes")
        return size


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


def _causes(error: BaseException) -> list[BaseException]:
    """``error`` and what it was made from: requests and urllib3 wrap the cause as an argument, too."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        one = queue.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            queue += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    # The innermost says most.
    return found[::-1]


def _explain_certificate(error: ssl.SSLCertVerificationError, wall_ms: int) -> str:
    clock = datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    match error.verify_code:
        case code if code == _X509_NOT_YET_VALID:
            return f"the server's certificate is not valid yet: this clock says {clock}; set it if that is wrong"
        case code if code == _X509_EXPIRED:
            # OpenSSL does not say whose it is.
            return (
                f"the server's certificate has expired: renew it there, or set this clock, which says {clock}; where "
                "both are right, the CA in caBundle has expired: copy the new one there"
            )
        case code if code in _X509_WRONG_NAME:
            return "the server's certificate is for another host: mend the host in serviceBaseURL"
        case code if code in _X509_SELF_SIGNED:
            return "the server's certificate is signed by itself or by an unknown CA: put its CA into caBundle"
        case code if code in _X509_UNKNOWN_ISSUER:
            return "the server's certificate is from a CA that is not in caBundle: put that CA there"
        case _:
            return f"the server's certificate is not good: {error.verify_message}"
