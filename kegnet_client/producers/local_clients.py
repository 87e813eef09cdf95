"""The programs that connect: few, bounded, and each kept whatever it says.

Sensor programs come over TCP, the producers of this machine's Kegboards by a Unix socket.
"""

import contextlib
import errno
import logging
import os
import selectors
import socket
from pathlib import Path

from kegnet_client.core.errors import SourceError
from kegnet_client.core.wire.local_events import Splitter
from kegnet_client.host.atomic_file import open_directory
from kegnet_client.host.condition import Condition

HOST = "127.0.0.1"
"""Kegbot's programs connect to localhost, and its core listened to IPv4 alone."""
MAX_CLIENTS = 32
MAX_UNSENT_BYTES = 64 * 1024
_MAX_READ_BYTES = 64 * 1024

log = logging.getLogger(__name__)


class Client:
    """One program that is connected, among ``others`` of its kind."""

    def __init__(self, connection: socket.socket, name: str, others: "LocalClients") -> None:
        self.connection = connection
        self.name = name
        self.others = others
        self.bad = Condition(log)
        self.unsent = b""
        self.splitter = Splitter()


def listen_tcp(port: int) -> socket.socket:
    """A socket at ``port`` of this machine. Raises `SourceError` when it cannot be had."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        what = "another program listens there; is Kegbot's core running?" if error.errno == errno.EADDRINUSE else ""
        raise SourceError(f"{HOST}:{port}: {what or os.strerror(error.errno or 0)}") from error
    return listener


def listen_unix(path: Path) -> socket.socket:
    """A socket at ``path``, for the group of this process; one that another process has left there is replaced.

    Raises `SourceError` when it cannot be had.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        with open_directory(path.parent) as fd:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path.name, dir_fd=fd)
            # However long the path is: an address takes 108 bytes.
            listener.bind(f"/proc/self/fd/{fd}/{path.name}")
            os.chmod(path.name, 0o660, dir_fd=fd)
        listener.listen()
    except OSError as error:
        listener.close()
        raise SourceError(f"{path}: Kegboards cannot be heard there: {os.strerror(error.errno or 0)}") from error
    return listener


class LocalClients:
    """Those that connect to ``listener``, which ``selector`` waits for with all else of them; for one thread."""

    def __init__(self, listener: socket.socket, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._clients: dict[socket.socket, Client] = {}
        self._crowded = Condition(log)
        self._listener = listener
        self._listener.setblocking(False)
        self.address = listener.getsockname()
        selector.register(self._listener, selectors.EVENT_READ, self)

    @property
    def count(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def has(self, client: Client) -> bool:
        """Whether ``client`` is connected still."""
        return client.connection in self._clients

    def accept(self) -> None:
        """Take who is at the door."""
        try:
            connection, address = self._listener.accept()
        except OSError:  # it has gone again, or there are no descriptors left
            return
        if len(self._clients) >= MAX_CLIENTS:
            text = f"more than {MAX_CLIENTS} programs are connected: the others are sent away"
            self._crowded.begin(text)
            connection.close()
            return
        connection.setblocking(False)
        name = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "a Kegboard of this machine"
        client = self._clients[connection] = Client(connection, name, self)
        self._selector.register(connection, selectors.EVENT_READ, client)
        log.info("Remote host connected: %s", client.name)

    def handle(self, client: Client, mask: int) -> list[bytes | None]:
        """Read from ``client`` and write to it, as it can be; the messages that ended."""
        if mask & selectors.EVENT_WRITE:
            self._write(client)
        if not mask & selectors.EVENT_READ or client.connection not in self._clients:
            return []
        try:
            data = client.connection.recv(_MAX_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self._drop(client, f"Remote host disconnected: {client.name}")
            return []
        return client.splitter.feed(data)

    def send(self, message: bytes) -> None:
        """Tell all of them."""
        for client in tuple(self._clients.values()):
            if len(client.unsent) + len(message) > MAX_UNSENT_BYTES:
                self._drop(client, f"{client.name} does not read what it is told, and is disconnected")
                continue
            client.unsent += message
            self._write(client)

    def close(self) -> None:
        """Listen to nobody any more."""
        for client in tuple(self._clients.values()):
            self._drop(client, "")
        self._selector.unregister(self._listener)
        self._listener.close()

    def _write(self, client: Client) -> None:
        try:
            client.unsent = client.unsent[client.connection.send(client.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client, f"Remote host disconnected: {client.name}")
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)
        self._selector.modify(client.connection, events, client)

    def _drop(self, client: Client, line: str) -> None:
        if self._clients.pop(client.connection, None) is None:
            return
        self._selector.unregister(client.connection)
        with contextlib.suppress(OSError):
            client.connection.close()
        self._crowded.end("there is room for programs again")
        if line:
            log.info("%s", line)
