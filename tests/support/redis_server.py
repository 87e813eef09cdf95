"""A real Redis server of the tests' own, which can be stopped and started again."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from .waits import WAIT_S, wait_until


class RedisServer:
    """The server in ``directory``, on a port of the loopback."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("redis-server", path="/usr/bin:/usr/sbin:/usr/local/bin")
        assert program is not None, "redis-server is missing: install what Debian calls redis-server"
        self._program = program
        self._directory = directory
        with socket.create_server(("127.0.0.1", 0)) as one:
            self.port = one.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Begin to answer."""
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "dir": str(self._directory)}
        argv = [self._program, *(word for name, value in options.items() for word in (f"--{name}", value))]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        wait_until(self._answers, "redis-server does not answer")

    def stop(self) -> None:
        """End."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WAIT_S)
            self._process = None

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as server:
                return bool(server.ping())
        except redis.RedisError:
            return False


@contextmanager
def running(directory: Path) -> Iterator[RedisServer]:
    server = RedisServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()
