"""A real MQTT broker of the tests' own, with TLS and a password, that can be stopped and started again."""

import shutil
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from .authority import Authority
from .waits import WAIT_S, wait_until

USER = "kegnet"
PASSWORD = "pass word"


class Mosquitto:
    """The broker in ``directory``, which forgets everything when it stops."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        assert program is not None, "mosquitto is missing: install what Debian calls mosquitto"
        self._program = program
        self.authority = Authority(directory)
        with socket.create_server(("localhost", 0)) as one:
            self.port = one.getsockname()[1]
        self.password_file = directory / "password"
        self.password_file.write_text(f"{PASSWORD}\n")
        users = directory / "users"
        subprocess.run(["mosquitto_passwd", "-b", "-c", users, USER, PASSWORD], check=True, capture_output=True)
        chain = self.authority.issue("localhost")
        self._configuration = directory / "mosquitto.conf"
        self._configuration.write_text(
            f"listener {self.port} localhost\ncafile {self.authority.bundle}\ncertfile {chain}\nkeyfile {chain}\n"
            f"allow_anonymous false\npassword_file {users}\nuser root\n"
        )
        self._log = directory / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to answer."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", self._configuration, "-v"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        wait_until(self._answers, "mosquitto does not answer")

    def stop(self, *, kill: bool = False) -> None:
        """End; with ``kill`` without a word to those who are connected."""
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(WAIT_S)
            self._process = None

    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            socket.create_connection(("localhost", self.port), 1).close()
        except OSError:
            return False
        return True


class Listener:
    """Somebody who hears all that is published at ``broker`` while this lasts, as Home Assistant does."""

    def __init__(self, broker: Mosquitto) -> None:
        self.last: dict[str, str] = {}
        """What was published last under each topic."""
        self.retained: dict[str, str] = {}
        """What the broker held when this began to listen."""
        self._counts: Counter[str] = Counter()
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.tls_set(str(broker.authority.bundle))
        self._client.username_pw_set(USER, PASSWORD)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._port = broker.port

    def publish(self, topic: str, payload: str) -> None:
        """Say something."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(WAIT_S)

    def count_of(self, topic: str) -> int:
        """How often something was published under ``topic``."""
        return self._counts[topic]

    def __enter__(self) -> Self:
        self._client.connect("localhost", self._port)
        self._client.subscribe("#", qos=1)
        self._client.loop_start()
        assert self._subscribed.wait(WAIT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # It closes its sockets when nobody knows it any more, and the collector may find them before it.
        self._client.on_message = self._client.on_subscribe = None

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.retain:
            self.retained[message.topic] = message.payload.decode()
        self.last[message.topic] = message.payload.decode()
        self._counts[message.topic] += 1


@contextmanager
def running(directory: Path) -> Iterator[Mosquitto]:
    """A broker that runs until the end."""
    broker = Mosquitto(directory)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
