"""Records to an MQTT broker: a message each, acknowledged by its PUBACK and not before.

Imported only where it is configured, because of what it imports.

Limits: delivery is at least once. A broker keeps nothing of a message for whoever comes later, and passes a repetition
on; listeners know it by its ``id``.
"""

import ssl
from collections.abc import Callable, Sequence

from kegnet_client.config.secret_file import read_secret
from kegnet_client.core.errors import ConfigError
from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Verdict
from kegnet_client.core.wire.mqtt import MQTT_ADVICE, format_message
from kegnet_client.net.tls import client_context
from kegnet_client.sinks.base import Meanwhile, OpenSink, nothing
from kegnet_client.sinks.mqtt_connection import MAX_IN_FLIGHT, Connection, Login
from kegnet_client.sinks.mqtt_section import MqttSettings

DEADLINE_S = 10.0


class Mqtt:
    """Publishes as ``device``, a lower-case uuid, over connections by ``make_connection``."""

    max_records = MAX_IN_FLIGHT
    # A batch fills a round trip by itself, and the broker takes one connection of a name.
    max_connections = 1
    advice = MQTT_ADVICE

    def __init__(self, device: str, topic: str, make_connection: Callable[[], Connection]) -> None:
        self._device = device
        self._topic = topic
        self._make_connection = make_connection
        self._connection: Connection | None = None
        self._is_aborted = False

    def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
        """What came of publishing ``records``."""
        meanwhile()
        if self._connection is None or self._connection.is_over:
            self.close()
            self._connection = self._make_connection()
            if self._is_aborted:  # before there was one to end
                self._connection.abort()
        return self._connection.publish([format_message(one, self._device, self._topic) for one in records])

    def abort(self) -> None:
        """End the exchange that is under way, and let none begin any more."""
        self._is_aborted = True
        if (connection := self._connection) is not None:
            connection.abort()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def connect(settings: MqttSettings, device: str, wall_ms: Callable[[], int], purpose: str = "") -> OpenSink:
    """Opens connections to the configured broker as ``device``. Raises `ConfigError` at once.

    A broker ends the connection of whoever has the same name: what connects beside the daemon has a ``purpose``.
    """
    broker, device = settings.broker, device.lower()
    login = Login(f"kegnet-client-{device}{purpose}", settings.user, _read_password(settings))
    context: ssl.SSLContext | None = client_context(settings.ca_bundle) if broker.has_tls else None

    def make_connection() -> Connection:
        return Connection(broker, context, login, DEADLINE_S, wall_ms)

    return lambda: Mqtt(device, settings.topic, make_connection)


def _read_password(settings: MqttSettings) -> str | None:
    if settings.password_file is None:
        return None
    if settings.user is None:
        raise ConfigError("[MQTT] passwordFile needs a user: write the name to log in with, or put a # before it")
    return read_secret(settings.password_file, "passwordFile", "password")
