"""A slow link: a TCP proxy on this machine that holds each piece back for a while and lets few bytes through."""

import os
import selectors
import socket
import threading
import time
from contextlib import suppress

PIECE = 16 * 1024


class Proxy:
    """``delay_s`` is how long each piece takes, either way; all of it passes in order."""

    def __init__(self, port: int) -> None:
        self.delay_s = 0.0
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                return
            with server, selectors.DefaultSelector() as ready, suppress(OSError):
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ready.register(client, selectors.EVENT_READ, server)
                ready.register(server, selectors.EVENT_READ, client)
                while True:
                    for key, _ in ready.select():
                        if not (data := os.read(key.fd, PIECE)):
                            return
                        if self.delay_s:
                            time.sleep(self.delay_s)
                        key.data.sendall(data)
