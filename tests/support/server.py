"""An HTTPS server that writes down what it is asked, and what stands in the spool meanwhile."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from .sockets import Connection
from .sockets import Server as Sockets
from .waits import WAIT_S


@dataclass(frozen=True)
class Call:
    """What a server was asked, and the names that stood in the spool at that moment."""

    path: str
    fields: dict[str, str]
    standing: list[str] = field(compare=False)


class Server:
    """An HTTPS server that answers with the status that ``answer`` says."""

    def __init__(self, chain: Path, spool: Path) -> None:
        self.answer: Callable[[Call], int] = lambda _: 200
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain)
        self._spool = spool
        self._calls: list[Call] = []
        self._came = threading.Condition()
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/rest/v2"

    @property
    def released(self) -> threading.Event:
        """What a handler waits for that hangs; set at the end."""
        return self._sockets.closing

    def start(self) -> None:
        self._sockets = Sockets(self._context, self._serve, shake_hands=True, address=("127.0.0.1", self.port))
        self.port = self._sockets.port

    def stop(self) -> None:
        """Away, with every connection."""
        self._sockets.close()

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

    def _serve(self, connection: Connection) -> None:
        while request := connection.request():
            head, _, body = request.partition(b"\r\n\r\n")
            standing = sorted(path.name for path in self._spool.glob("*"))
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
            call = Call(head.split(b" ")[1].decode(), fields, standing)
            with self._came:
                self._calls.append(call)
                self._came.notify_all()
            connection.answer(status=f"{self.answer(call)} Told")


Serve = Callable[[Path], Server]


def hang(server: Server) -> None:
    """Let the server take pours and answer none."""

    def answer(call: Call) -> int:
        if call.path.endswith("pour"):
            server.released.wait()
        return 200

    server.answer = answer
