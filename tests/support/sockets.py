"""Servers on real sockets that behave, or misbehave, as they are told."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from .waits import WAIT_S


class Connection:
    """The server's end of one connection: ``plain`` before TLS, ``stream`` once there is a handshake."""

    def __init__(self, server: "Server", plain: socket.socket) -> None:
        self.server = server
        self.plain = plain
        self.stream: socket.socket = plain

    def shake_hands(self) -> None:
        if self.server.context is not None:
            self.stream = self.server.context.wrap_socket(self.plain, server_side=True)
            self.server.handshakes += 1

    def request(self) -> bytes:
        """One whole request, head and body; empty when the client has gone."""
        data = bytearray()
        while not _is_whole(data):
            more = self.stream.recv(65536)
            if not more:
                break
            data += more
        self.server.received.append(bytes(data))
        self.server.asked.set()
        return bytes(data)

    def answer(self, *headers: str, status: str = "200 OK", body: bytes = b"") -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.stream.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    def drip(self, data: bytes) -> None:
        """Send ``data`` a byte at a time, slower than any deadline here, until the client has enough of it."""
        for byte in data:
            self.stream.sendall(bytes([byte]))
            if self.server.closing.wait(0.05):
                return

    def reset(self) -> None:
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()


Behaviour = Callable[[Connection], None]


class Server:
    """Accepts on a port of this machine and behaves as told, in a thread for each connection."""

    def __init__(
        self,
        context: ssl.SSLContext | None,
        behave: Behaviour,
        *,
        shake_hands: bool,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.context = context
        self.connections = 0
        self.handshakes = 0
        self.received: list[bytes] = []
        self.asked = threading.Event()
        """A request was read."""
        self.left = threading.Event()
        """A connection is over at this end."""
        self.closing = threading.Event()
        """Set at the end: a behaviour that hangs waits for it."""
        self._behave = behave
        self._shakes_hands = shake_hands
        self._listener = socket.create_server(address)
        self._open: dict[threading.Thread, Connection] = {}
        self.port: int = self._listener.getsockname()[1]
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://localhost:{self.port}/rest/v2/pour"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def settle(self) -> None:
        """Wait until every connection is over at this end, too."""
        for thread in list(self._open):
            thread.join(WAIT_S)
            assert not thread.is_alive()

    def close(self) -> None:
        """Away, with every connection."""
        if self.closing.is_set():
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(WAIT_S)
        self._listener.close()
        self.closing.set()
        self.hang_up()
        self.settle()

    def hang_up(self) -> None:
        """End every connection."""
        for connection in list(self._open.values()):
            with suppress(OSError):
                socket.socket.shutdown(connection.stream, socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            connection = Connection(self, plain)
            thread = threading.Thread(target=self._run, args=(connection,))
            self._open[thread] = connection
            self.connections += 1
            thread.start()

    def _run(self, connection: Connection) -> None:
        # A client that goes away in the middle is what most of these tests are about.
        with suppress(OSError):
            if self._shakes_hands:
                connection.shake_hands()
            self._behave(connection)
        connection.stream.close()
        connection.plain.close()
        self._open.pop(threading.current_thread(), None)
        self.left.set()


Serve = Callable[..., Server]


def answer_all(connection: Connection) -> None:
    """A good server."""
    while connection.request():
        connection.answer()


def _is_whole(data: bytearray) -> bool:
    head, separator, body = bytes(data).partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(separator) and len(body) >= (int(lengths[0].partition(b":")[2]) if lengths else 0)
