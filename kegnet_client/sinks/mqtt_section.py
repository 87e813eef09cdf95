"""The section [MQTT]: a broker that gets the records."""

from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_path
from kegnet_client.core.wire.mqtt import Broker, parse_broker, parse_topic
from kegnet_client.sinks.kegnet_section import SINK, to_ca_bundle, to_uuid


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """What the section says; without a ``uuid`` it is that of [KegNet]."""

    broker: Broker
    topic: str
    ca_bundle: Path
    user: str | None
    password_file: Path | None
    uuid: str | None


def _to_broker(text: str, _root: Path) -> Broker:
    return parse_broker(text)


def _to_topic(text: str, _root: Path) -> str:
    return parse_topic(text)


def _to_text(text: str, _root: Path) -> str:
    return text


MQTT = Section(
    "MQTT",
    MqttSettings,
    (
        Setting(
            "broker",
            "broker",
            (
                "An MQTT broker that gets the records, too, or instead of KegNet. Unless set, none does. It must be",
                "mqtts; plain mqtt is for a broker on this same machine. It has to speak MQTT 5.",
            ),
            _to_broker,
            example="mqtts://broker.example",
            required=True,
        ),
        Setting(
            "topic",
            "topic",
            ("What the topics begin with: a pour is published under TOPIC/UUID/pour.",),
            _to_topic,
            default="kegnet",
        ),
        Setting(
            "ca_bundle",
            "caBundle",
            ("The file with the certificates (CA) that vouch for the broker, or the word system, as for KegNet.",),
            to_ca_bundle,
            default="system",
        ),
        Setting("user", "user", ("The name to log in with, if any.",), _to_text, example="keg"),
        Setting(
            "password_file",
            "passwordFile",
            ("The file whose first line is the password to that name. Only this user and its group may read it.",),
            to_path,
            example="conf/mqtt-password",
        ),
        Setting(
            "uuid",
            "uuid",
            ("Which device this is. Unless set, it is the uuid of [KegNet].",),
            to_uuid,
            example="00000000-0000-4000-8000-000000000000",
        ),
    ),
    one_of=SINK,
)
