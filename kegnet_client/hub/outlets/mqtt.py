"""Tells an MQTT broker of the taps, in messages that Home Assistant finds by itself.

The connection is paho's, on a thread of its own: it comes back by itself however long the broker is away, and no
request waits for it. While the broker is away nothing is queued: when it is back, and when Home Assistant says that it
has started, all of it is told as it is then. Between that, only what has changed. The broker itself says that the hub
is gone, should it go without a word.
"""

import asyncio
import contextlib
import logging
import ssl
import sys
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from starlette.concurrency import run_in_threadpool

from kegnet_client.core.errors import ConfigError
from kegnet_client.host.condition import Condition
from kegnet_client.host.regular_file import read_regular
from kegnet_client.hub.bus import Bus, CutOffError
from kegnet_client.hub.outlets.home_assistant import (
    DISCOVERY,
    OFFLINE,
    ONLINE,
    Message,
    availability_topic,
    read_messages,
)
from kegnet_client.hub.outlets.mqtt_section import Broker, MqttSettings
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

EVERY_S = 60.0
PAUSE_S = 1.0
"""Between one look at the store and the next, however much is new."""
MAX_RETRY_S = 30
CHANNELS = ("pours", "temperatures", "taps", "kegs", "adjustments", "calibrations", "alarms")
_GOODBYE_S = 0.3
_MAX_PASSWORD_BYTES = 4096
_STATUS = f"{DISCOVERY}/status"

_log = logging.getLogger(__name__)


class Mqtt:
    """The outlet to ``broker``, under the id ``hub``. `ConfigError` if a file that ``settings`` name is no good."""

    def __init__(self, broker: Broker, settings: MqttSettings, hub: str) -> None:
        if settings.ca is not None and not broker.has_tls:
            raise ConfigError("[mqtt] caFile of hub.conf is for an encrypted broker: write it as mqtts://HOST")
        if settings.password_file is not None and settings.user is None:
            raise ConfigError("[mqtt] passwordFile of hub.conf needs a user: write the name to log in with")
        self._broker = broker
        self._settings = settings
        self._hub = hub
        self._password = _read_password(settings)
        self._context = _make_context(settings) if broker.has_tls else None
        self._trouble = Condition(_log)
        self._due = asyncio.Event()
        self._told: dict[str, str] = {}

    async def run(self, store: Store, bus: Bus, clock_ms: Callable[[], int]) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()

        def on_all() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended just now
                loop.call_soon_threadsafe(self._tell_all)

        client = self._make_client(on_all)
        hearing = asyncio.create_task(self._hear(bus))
        try:
            client.connect_async(self._broker.host, self._broker.port, keepalive=30)
            client.loop_start()
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY_S):
                        await self._due.wait()
                self._due.clear()
                if client.is_connected():
                    with contextlib.suppress(StoreError):  # those who store say so
                        now_ms = clock_ms()
                        messages = await run_in_threadpool(
                            store.read, lambda connection, at_ms=now_ms: read_messages(connection, self._hub, at_ms)
                        )
                        self._publish(client, messages)
                await asyncio.sleep(PAUSE_S)
        finally:
            hearing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hearing
            await run_in_threadpool(self._say_goodbye, client)

    async def _hear(self, bus: Bus) -> None:
        """Look at the store whenever something is new."""
        while True:
            with contextlib.suppress(CutOffError, StoreError):
                async with bus.subscribe(CHANNELS) as subscription:
                    while True:
                        await subscription.get()
                        self._due.set()
            await asyncio.sleep(EVERY_S)

    def _tell_all(self) -> None:
        self._told.clear()
        self._due.set()

    def _publish(self, client: paho.Client, messages: list[Message]) -> None:
        for one in messages:
            if self._told.get(one.topic) != one.payload:
                info = client.publish(one.topic, one.payload, qos=1, retain=one.retain)
                if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return  # the connection has just ended: all of it is told when there is another
                self._told[one.topic] = one.payload

    def _make_client(self, on_all: Callable[[], None]) -> paho.Client:
        """A client that calls ``on_all``, on its own thread, when all of it is to be told."""
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"kegnet-{self._hub}")
        client.reconnect_delay_set(1, MAX_RETRY_S)
        client.will_set(availability_topic(self._hub), OFFLINE, qos=1, retain=True)
        if self._settings.user is not None:
            client.username_pw_set(self._settings.user, self._password)
        if self._context is not None:
            client.tls_set_context(self._context)
        where = f"the MQTT broker at {self._broker.host}, port {self._broker.port},"

        def on_connect(_client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            if reason.is_failure:
                self._trouble.begin(str(reason), f"{where} refuses the hub ({reason}); it hears nothing until it does")
                return
            self._trouble.end(f"{where} hears of the taps again")
            client.subscribe(_STATUS, qos=1)
            client.publish(availability_topic(self._hub), ONLINE, qos=1, retain=True)
            on_all()

        def on_connect_fail(_client: paho.Client, _data: Any) -> None:
            error = sys.exc_info()[1]  # it is called where that is dealt with
            self._trouble.begin(str(error), f"{where} cannot be reached ({error}); it hears of the taps when it can")

        def on_disconnect(_client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            if reason.is_failure:
                self._trouble.begin(str(reason), f"{where} is gone ({reason}); it hears of the taps when it is back")

        def on_message(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
            # What is retained was said before we came.
            if message.payload == ONLINE.encode() and not message.retain:
                on_all()

        client.on_connect, client.on_connect_fail = on_connect, on_connect_fail
        client.on_disconnect, client.on_message = on_disconnect, on_message
        return client

    def _say_goodbye(self, client: paho.Client) -> None:
        """Say that the hub stops, unless nobody listens. paho's thread ends by itself after that."""
        if client.is_connected():
            said = client.publish(availability_topic(self._hub), OFFLINE, qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # the connection has just ended
                said.wait_for_publish(_GOODBYE_S)
        client.disconnect()


def _read_password(settings: MqttSettings) -> str | None:
    file = settings.password_file
    if file is None:
        return None
    try:
        lines = read_regular(file, _MAX_PASSWORD_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{file} cannot be read ({told}): put the broker's password there") from None
    if not lines or not lines[0]:
        raise ConfigError(f"{file} holds no password: its first line has to be that of the broker")
    return lines[0]


def _make_context(settings: MqttSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca)
    except OSError as error:
        raise ConfigError(
            f"{settings.ca} cannot be used ({error.strerror or error}): put the certificate there that vouches for the "
            "MQTT broker"
        ) from None
