"""requests' adapter over http.client: one kept connection, our own TLS context, and nothing besides.

It is used without requests' Session: proxies, cookies, retries, redirects and decoding may not happen here.
"""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.exceptions import InvalidSchema

from kegnet_client.net.connection import Connection


def prepare(method: str, url: str) -> requests.PreparedRequest:
    """A request with neither headers nor body, its ``url`` spelled as it goes over the wire."""
    return requests.Request(method, url).prepare()


class Adapter(BaseAdapter):
    """Sends requests to one server after another over one connection each; ``context`` is None for plain http.

    ``register`` is called with each socket before it waits for the server (`Connection`), ``waits`` before a new
    connection or an answer is waited for.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None,
        register: Callable[[socket.socket], None],
        waits: Callable[[], None],
    ) -> None:
        super().__init__()
        self._waits = waits
        self._context = context
        self._scheme = "http" if context is None else "https"
        self._register = register
        self._connection: Connection | None = None
        self._origin: tuple[str | None, int | None] | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._response = requests.Response()
        """One for all, which holds for the last answer: to make another one takes a tenth of an exchange."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = True,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """The answer, whose body is still to be read from ``raw``; ``timeout`` is in seconds, for each step.

        A connection is used again where ``raw`` was read to its end. `close` is for every other case. Raises `OSError`,
        `http.client.HTTPException` or one of requests' errors. Whom to trust says the context: the other arguments are
        requests' and have no effect.
        """
        connection = self.connect(str(request.url), timeout)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # A server may have answered before it read everything, and left.
            connection.request(str(request.method), request.path_url, request.body, request.headers)
        self._waits()
        self._answer = answer = connection.getresponse()
        response = self._response
        response.request = request
        response.url = str(request.url)
        response.status_code = answer.status
        response.reason = answer.reason
        response.headers = answer.headers  # type: ignore[assignment]  # a mapping that knows no case, too, and no copy
        response.raw = answer
        return response

    def close(self) -> None:
        """Close the connection, and the answer that is being read. The next request gets another."""
        if self._answer is not None:
            self._answer.close()
        if self._connection is not None:
            self._connection.close()

    def connect(self, url: str, timeout_s: float) -> Connection:
        """The connection to the server of ``url``, the kept one where it is of use still."""
        parts = urlsplit(url)
        if parts.scheme != self._scheme:
            # Without our context there is no TLS at all, rather than one that trusts whom the system trusts.
            raise InvalidSchema(f"{parts.scheme} is not spoken here")
        origin = parts.hostname, parts.port
        if self._connection is None or origin != self._origin:
            self.close()
            port = parts.port or (http.client.HTTP_PORT if self._context is None else http.client.HTTPS_PORT)
            self._connection = Connection(unquote(parts.hostname or ""), port, self._context, self._register)
            self._origin = origin
        self._connection.timeout = timeout_s
        if not self._connection.is_fresh():
            self._connection.close()
            self._waits()
            self._connection.connect()
        return self._connection
