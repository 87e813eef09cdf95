"""The section [mqtt] of hub.conf: the broker that hears of the taps."""

import re
from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_path

PLAIN_PORT = 1883
TLS_PORT = 8883

_BROKER = re.compile(r"(mqtts?)://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?/?", re.IGNORECASE)
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker answers."""

    host: str
    port: int
    has_tls: bool


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """What the section says; without a ``broker`` nothing is told."""

    broker: Broker | None = None
    ca: Path | None = None
    user: str | None = None
    password_file: Path | None = None


def _to_broker(text: str, _root: Path) -> Broker:
    found = _BROKER.fullmatch(text)
    if found is None or not 1 <= int(found[3] or 1) <= _MAX_PORT:
        raise ValueError("write it as mqtts://HOST, or mqtt://HOST without encryption, with :PORT behind if need be")
    has_tls = found[1].lower() == "mqtts"
    return Broker(found[2].strip("[]"), int(found[3] or (TLS_PORT if has_tls else PLAIN_PORT)), has_tls)


def _to_text(text: str, _root: Path) -> str:
    return text


MQTT = Section(
    "mqtt",
    MqttSettings,
    (
        Setting(
            "broker",
            "broker",
            (
                "The MQTT broker that hears what is left at each tap, how cold it is and what is wrong, so that Home",
                "Assistant finds it by itself. mqtts is encrypted, mqtt is not. Unless set, none hears of it.",
            ),
            _to_broker,
            example="mqtts://homeassistant.local",
        ),
        Setting(
            "ca",
            "caFile",
            ("The certificate of the CA that vouches for the broker. Unless set, those of this machine's system do.",),
            to_path,
            example="broker-ca.crt",
        ),
        Setting("user", "user", ("The name to log in with at the broker.",), _to_text, example="kegnet"),
        Setting(
            "password_file",
            "passwordFile",
            ("The file whose first line is the password to that name. Nobody else may read it.",),
            to_path,
            example="mqtt-password",
        ),
    ),
)
