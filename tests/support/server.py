"""An HTTPS server that writes down what it is asked, and what stands in the spool meanwhile."""

import http.server
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from .waits import WAIT_S


@dataclass(frozen=True)
class Call:
    """What a server was asked, and the names that stood in the spool at that moment."""

    path: str
    fields: dict[str, str]
    standing: list[str] = field(compare=False)


class Server:
    """An HTTPS server that answers what ``answer`` says: a status, and maybe headers."""

    def __init__(self, chain: Path, spool: Path) -> None:
        self.answer: Callable[[Call], int] = lambda _: 200
        self.released = threading.Event()
        """What a handler waits for that hangs; set at the end."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain)
        self._spool = spool
        self._calls: list[Call] = []
        self._came = threading.Condition()
        self._open: list[socket.socket] = []
        self._http: http.server.ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/rest/v2"

    def start(self) -> None:
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._http.socket = self._context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that refuse or go away
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """Away, with every connection."""
        if self._http is None:
            return
        self._http.shutdown()
        self._thread.join()
        for connection in self._open:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.released.set()
        self._http.server_close()
        self._http = None

    def calls(self, name: str) -> list[Call]:
        with self._came:
            return self._named(name)

    def wait_for(self, name: str, count: int = 1) -> list[Call]:
        """The first ``count`` calls of that name."""
        with self._came:
            assert self._came.wait_for(lambda: len(self._named(name)) >= count, WAIT_S), f"only {self._calls}"
            return self._named(name)[:count]

    def _named(self, name: str) -> list[Call]:
        return [call for call in self._calls if call.path.endswith("/" + name)]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server._open.append(self.request)
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                standing = sorted(path.name for path in server._spool.glob("*"))
                call = Call(self.path, dict(parse_qsl(body, keep_blank_values=True)), standing)
                with server._came:
                    server._calls.append(call)
                    server._came.notify_all()
                status = server.answer(call)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the test says what it expects."""

        return Handler


Serve = Callable[[Path], Server]


def hang(server: Server) -> None:
    """Let the server take pours and answer none."""

    def answer(call: Call) -> int:
        if call.path.endswith("pour"):
            server.released.wait()
        return 200

    server.answer = answer
