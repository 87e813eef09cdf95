"""One connection to an MQTT broker, from its handshake to its end; it is never made twice.

paho's own reconnection would publish again what it still holds, behind the spool's back: so each connection has a
client of its own, with a session that ends with it. paho runs in a thread, which keeps the connection alive; what it
hears is noted under one lock, on which whoever publishes waits. That lock is never held while paho is called: paho
calls back under locks of its own.

Limit: paho's thread wakes once a second as long as there is a connection.
"""

import contextlib
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from kegnet_client.core.errors import TransportError
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire.answer import judge_silence
from kegnet_client.core.wire.mqtt import Broker, judge_end, judge_publish
from kegnet_client.net.errors import explain_failure

MAX_IN_FLIGHT = 20
"""How many messages wait for their PUBACK at once: a broker that takes fewer says so."""
KEEPALIVE_S = 30
_GOODBYE_S = 0.5

Message = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects; the password is nobody else's."""

    client_id: str
    user: str | None
    password: str | None


class _Socket(ssl.SSLSocket):
    """paho leaves one whose handshake failed to the collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class Connection:
    """Connects to ``broker`` when it first publishes, in a thread. ``context`` is None for a broker without TLS."""

    def __init__(
        self,
        broker: Broker,
        context: ssl.SSLContext | None,
        login: Login,
        deadline_s: float,
        wall_ms: Callable[[], int],
    ) -> None:
        self._broker = broker
        self._deadline_s = deadline_s
        self._wall_ms = wall_ms
        self._changed = threading.Condition()
        self._window = MAX_IN_FLIGHT
        self._is_up = False
        self._is_gone = False
        self._end: Verdict | None = None
        self._acknowledged: dict[int, tuple[int, str]] = {}
        self._client = self._make_client(context, login)
        self._connecting: threading.Thread | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is of no use any more."""
        with self._changed:
            return self._end is not None

    def publish(self, messages: Sequence[Message]) -> list[Verdict]:
        """What became of each of ``messages`` within the deadline; where none left, all verdicts are one object."""
        until_s = time.monotonic() + self._deadline_s
        if self.is_over:  # it was aborted before it began
            return [self._finish_in_silence()] * len(messages)
        if self._connecting is None:
            self._connecting = threading.Thread(target=self._connect, name="mqtt", daemon=True)
            self._connecting.start()
        with self._changed:
            self._wait(lambda: self._is_up, until_s)
            is_up = self._is_up
        if not is_up:
            return [self._finish_in_silence()] * len(messages)
        answers: list[tuple[int, str] | None] = []
        for begin in range(0, len(messages), self._window):
            answers += self._exchange(messages[begin : begin + self._window], until_s)
        # Those that fail alike have one verdict, as those of an exchange that failed.
        judged: dict[tuple[int, str, str] | None, Verdict] = {}
        if None in answers:
            # What is answered later is not waited for: the next messages get a connection without a past.
            judged[None] = self._finish_in_silence()
        keys = [answer and (*answer, topic) for answer, (topic, _) in zip(answers, messages, strict=True)]
        for key in keys:
            if key is not None:
                judged.setdefault(key, judge_publish(*key))
        return [judged[key] for key in keys]

    def abort(self) -> None:
        """End it without a word; from any thread."""
        self._finish(Verdict(Disposition.DEFERRED, f"{self._where}: the connection was broken off"))
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                # Not SSLSocket's own shutdown, which another thread's read does not survive.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """Say goodbye, if somebody listens, and end."""
        self._finish(Verdict(Disposition.DEFERRED, f"{self._where}: the connection was closed"))
        if self._client.disconnect() == paho.MQTT_ERR_SUCCESS:
            with self._changed:
                self._changed.wait_for(lambda: self._is_gone, _GOODBYE_S)

    @property
    def _where(self) -> str:
        return f"{self._broker.host}:{self._broker.port}"

    def _wait(self, is_done: Callable[[], bool], until_s: float) -> None:
        self._changed.wait_for(lambda: is_done() or self._end is not None, until_s - time.monotonic())

    def _finish_in_silence(self) -> Verdict:
        """Why there was no answer, after which it is over."""
        with self._changed:
            missing = "PUBACK" if self._is_up else "connection"
        return self._finish(Verdict(Disposition.DEFERRED, f"{self._where}: no {missing} within {self._deadline_s:g} s"))

    def _exchange(self, messages: Sequence[Message], until_s: float) -> list[tuple[int, str] | None]:
        """The PUBACK of each; None where there was none in time."""
        numbers = [self._publish(message) for message in messages]
        with self._changed:
            self._wait(lambda: all(number is None or number in self._acknowledged for number in numbers), until_s)
            return [None if number is None else self._acknowledged.pop(number, None) for number in numbers]

    def _publish(self, message: Message) -> int | None:
        """The number by which the message is acknowledged; None where it did not leave."""
        info = self._client.publish(*message, qos=1)
        return None if info.rc else info.mid

    def _make_client(self, context: ssl.SSLContext | None, login: Login) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, login.client_id, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        client.connect_timeout = self._deadline_s
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        if login.user is not None:
            client.username_pw_set(login.user, login.password)
        if context is not None:
            context.sslsocket_class = _Socket
            client.tls_set_context(context)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        return client

    def _connect(self) -> None:
        try:
            self._client.connect(self._broker.host, self._broker.port, KEEPALIVE_S)
        except OSError as error:
            explained = explain_failure(error, self._deadline_s, self._wall_ms(), "broker")
            self._finish(judge_silence(explained, self._where))
            return
        self._client.loop_start()
        if self.is_over:  # by now
            self._client.disconnect()

    def _on_connect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._finish(judge_end(reason.value, str(reason), self._broker))
            return
        if getattr(properties, "MaximumQoS", math.inf) < 1:
            self._finish(judge_end(_NO_QOS_1, "that it acknowledges nothing (QoS 0 only)", self._broker))
            return
        with self._changed:
            self._window = max(1, min(getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT), MAX_IN_FLIGHT))
            self._is_up = True
            self._changed.notify_all()

    def _on_publish(self, _client: paho.Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        with self._changed:
            self._acknowledged[number] = reason.value, str(reason)
            self._changed.notify_all()

    def _on_disconnect(self, _client: paho.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server and reason.is_failure:
            self._finish(judge_end(reason.value, str(reason), self._broker))
        with self._changed:
            hint = "" if self._is_up else "; see whether what answers there is a broker and speaks MQTT 5"
            self._is_gone = True
        self._finish(judge_silence(TransportError(f"the connection broke{hint}"), self._where))

    def _finish(self, verdict: Verdict) -> Verdict:
        """It is over. The first reason is the one, which is returned."""
        with self._changed:
            self._end = self._end or verdict
            self._changed.notify_all()
            return self._end


_NO_QOS_1 = 0x9B
