"""The connection to one server, between requests' adapter and http.client.

requests and urllib3 give connections, TLS and a pool of one; the exchange over them is http.client's. What they do
besides is for proxies, cookies, retries, redirects and decoding, none of which may happen here, or leaves a fault in
that a server could make a lost record of: each class says which.
"""

import contextlib
import http.client
import logging
import socket
import ssl
import time
import warnings
from collections.abc import Callable
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import SystemTimeWarning

from kegnet_client.host.skip_imports import left_out

# They guess what encoding a text is in, which nobody asks here, and are a twelfth of the whole program's memory.
with left_out("charset_normalizer", "chardet"):
    import requests
    from requests.adapters import HTTPAdapter

_MIN_CONNECT_S = 0.1
"""For an address whose turn comes when the time is already up."""

# urllib3 warns at every connection while the clock is unset; the certificate's error says it, once.
warnings.filterwarnings("ignore", category=SystemTimeWarning)
# Nor does an answer that is bad in its form need a trace of its own in the log, each time.
logging.getLogger("urllib3").setLevel(logging.ERROR)


def prepare(method: str, url: str) -> requests.PreparedRequest:
    """A request with neither headers nor body, its ``url`` spelled as it goes over the wire."""
    return requests.Request(method, url).prepare()


class Adapter(HTTPAdapter):
    """requests' adapter with our TLS context alone, which tells of each socket it connects.

    It is used without requests' Session, whose conveniences are just what must not happen here.
    """

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
            return Exchange(self, connection, http.client.HTTPConnection.getresponse(connection))
        except BaseException:
            connection.close()
            self._put_conn(connection)
            raise


class Exchange:
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
    """Divides the time to connect among the host's addresses; urllib3 gives each of them all of it, so that behind one
    that leads nowhere (IPv6 without a route, mostly) the next is never tried."""

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
