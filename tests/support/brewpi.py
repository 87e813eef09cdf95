"""A BrewPi that is none: it listens at a Unix socket or over TCP and answers as it is told, well or badly."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .waits import WAIT_S

DISPLAY = ["Mode   Off          ", "Beer   65.1  --.- &degF", "Fridge 65.9  --.- &degF", "Idling for  17h30m55"]
SETTINGS = {"mode": "p", "beerSet": 64.26, "fridgeSet": 82.26, "profile": "Sound Czech Pilsner", "heatEst": 0.2}

Answer = Callable[[socket.socket, bytes], None]


class BrewPi:
    """Listens at ``path``, or over TCP at a free port; each connection is answered by ``answer`` and then closed."""

    def __init__(self, path: Path | None = None) -> None:
        self.display: list[str] = DISPLAY
        self.settings: dict[str, Any] = SETTINGS
        self.answer: Answer = self.answer_well
        self.asked: list[bytes] = []
        self.released = threading.Event()
        """What a silent one waits for; set at the end."""
        self._came = threading.Condition()
        if path is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(path))
            self._listener.listen()
            self.port = 0
        self.path = path
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def entry(self) -> dict[str, str]:
        """How it is reached, as the hub's entry says it."""
        if self.path is not None:
            return {"address": "", "port": "", "socket": str(self.path)}
        return {"address": "127.0.0.1", "port": str(self.port), "socket": ""}

    def document(self, word: bytes) -> bytes:
        """The right answer to ``word``."""
        return json.dumps({b"lcd": self.display, b"getControlSettings": self.settings}[word]).encode()

    def answer_well(self, connection: socket.socket, word: bytes) -> None:
        """As a BrewPi does."""
        connection.sendall(self.document(word))

    def answer_nothing(self, _connection: socket.socket, _word: bytes) -> None:
        """Take the question, and stay silent for as long as the test lasts."""
        self.released.wait()

    def close_at_once(self, _connection: socket.socket, _word: bytes) -> None:
        """Take the question, and say nothing."""

    def answer_in_pieces(self, connection: socket.socket, word: bytes) -> None:
        """Byte by byte, and leave the connection open."""
        for byte in self.document(word):
            connection.sendall(bytes([byte]))
        self.released.wait()

    def wait_for_questions(self, count: int) -> None:
        """Until it was asked so often."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.asked) >= count, WAIT_S), f"asked {self.asked}"

    def close(self) -> None:
        """Away."""
        self.released.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(WAIT_S)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        # Whoever asks may have gone meanwhile.
        with connection, suppress(OSError):
            word = connection.recv(4096)
            with self._came:
                self.asked.append(word)
                self._came.notify_all()
            self.answer(connection, word)
