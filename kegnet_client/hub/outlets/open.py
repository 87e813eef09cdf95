"""The outlets that hub.conf asks for. A library is imported where it is needed, and nowhere else: it costs memory."""

import hashlib
import ssl
from collections.abc import Callable
from typing import Protocol

from kegnet_client.config.settings import Config
from kegnet_client.core.errors import ConfigError
from kegnet_client.hub.bus import Bus
from kegnet_client.hub.outlets.mqtt_section import MQTT
from kegnet_client.hub.outlets.notify_section import NOTIFY
from kegnet_client.hub.store.records import Store


class Outlet(Protocol):
    """Whoever tells others what is new; of several hub processes one alone has it run."""

    async def run(self, store: Store, bus: Bus, clock_ms: Callable[[], int]) -> None:
        """Until cancelled."""
        ...


def open_outlets(config: Config, ca_pem: bytes) -> list[Outlet]:
    """The outlets that ``config`` asks for, of the hub whose CA is ``ca_pem``; `ConfigError` says what they lack."""
    outlets: list[Outlet] = []
    mqtt = config.section(MQTT)
    if mqtt.broker is not None:
        try:
            from kegnet_client.hub.outlets.mqtt import Mqtt
        except ModuleNotFoundError as error:
            raise _missing(error, "mqtt", "paho") from None
        outlets.append(Mqtt(mqtt.broker, mqtt, hub_id(ca_pem)))
    notify = config.section(NOTIFY)
    if notify.urls:
        try:
            from kegnet_client.hub.outlets.notify import Notify
        except ModuleNotFoundError as error:
            raise _missing(error, "notify", "apprise") from None
        outlets.append(Notify(notify))
    return outlets


def hub_id(ca_pem: bytes) -> str:
    """A short name that no other hub has, and that stays."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca_pem.decode())).hexdigest()[:12]


def _missing(error: ModuleNotFoundError, section: str, package: str) -> Exception:
    if error.name is None or error.name.partition(".")[0] != package:
        return error
    return ConfigError(
        f"[{section}] of hub.conf needs {package}: sudo ./service/install --hub (on a 64-bit system), or in a virtual "
        f"environment of your own pip install 'kegnet-client[{section}]'"
    )
