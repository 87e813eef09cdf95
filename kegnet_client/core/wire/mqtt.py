"""Records over MQTT 5: where the broker is, what is published under which topic, and what its answers mean.

A record is one message with QoS 1 under ``TOPIC/UUID/pour`` or ``TOPIC/UUID/reading``, a JSON object with the identity
that REST v3 has for it (`kegnet_client.core.wire.batch`), by which whoever listens knows a repetition. Version 5 alone
says why a message is not taken; a broker of an older one acknowledges what it drops.

========== ==========================================================================
pour       ``id``, ``type``, ``pin``, ``pulses``, ``elapsed_ms``, ``started_ms``
reading    ``id``, ``type``, ``sensor``, ``millidegrees``, ``taken_ms``
heartbeat  ``id``, ``type``, ``at_ms``
========== ==========================================================================
"""

import json
import re
from dataclasses import dataclass

from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire.base_url import is_loopback
from kegnet_client.core.wire.batch import identify, make_item

PLAIN_PORT = 1883
TLS_PORT = 8883
MAX_TOPIC_BYTES = 200
MQTT_ADVICE = "check broker, topic and user under [MQTT]"

_BROKER = re.compile(r"(mqtts?)://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?/?", re.IGNORECASE)
_MAX_PORT = 65535

_FAILED_FROM = 0x80
_OLD_PROTOCOL = (0x01, 0x84)
_LOGIN = (0x86, 0x87, 0x8A, 0x8C)
_NOT_AUTHORIZED = 0x87
_LATER = (0x80, 0x83, 0x88, 0x89, 0x8B, 0x8D, 0x93, 0x96, 0x97, 0x98, 0x9F)
_TAKEN_OVER = 0x8E
_BAD_TOPIC = 0x90
_QUOTA = 0x97
_BAD_PAYLOAD = 0x99


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker answers."""

    host: str
    port: int
    has_tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.has_tls else ''}://{host}:{self.port}"


def parse_broker(text: str) -> Broker:
    """The broker that ``text`` names; `ValueError` says what is wrong with it.

    As with a KegNet server, whoever is in between could acknowledge what no broker has seen.
    """
    found = _BROKER.fullmatch(text)
    if found is None or not 1 <= int(found[3] or 1) <= _MAX_PORT:
        raise ValueError("write it as mqtts://HOST, with :PORT behind if need be")
    has_tls, host = found[1].lower() == "mqtts", found[2].strip("[]")
    if not has_tls and not is_loopback(host):
        raise ValueError("mqtt is not encrypted and is taken for this machine only; write mqtts://")
    return Broker(host, int(found[3] or (TLS_PORT if has_tls else PLAIN_PORT)), has_tls)


def parse_topic(text: str) -> str:
    """The first part of all topics; `ValueError` says what is wrong with it."""
    if "+" in text or "#" in text:
        raise ValueError("holds + or #, which stand for other topics; write one without")
    if text.startswith("$"):
        raise ValueError("begins with $, which is the broker's own; write another")
    if not all(text.split("/")):
        raise ValueError("has an empty part; write it like home/bar, without a / at its begin or end")
    if len(text.encode()) > MAX_TOPIC_BYTES:
        raise ValueError(f"is longer than {MAX_TOPIC_BYTES} bytes; write a shorter one")
    return text


def format_message(record: Record | Heartbeat, device: str, topic: str) -> tuple[str, bytes]:
    """The topic and the content of the message that says ``record`` of ``device``, a lower-case uuid."""
    item = make_item(identify(record, device), record)
    return f"{topic}/{device}/{item['type']}", json.dumps(item, separators=(",", ":")).encode("ascii")


def judge_publish(code: int, words: str, topic: str) -> Verdict:
    """What a PUBACK with the reason ``code``, which is ``words``, means for the record published under ``topic``."""
    said = f"the broker answered {words}"
    if code < _FAILED_FROM:
        return Verdict(Disposition.ACCEPTED, said)
    if code == _BAD_PAYLOAD:
        return Verdict(Disposition.REJECTED, said)
    if code == _NOT_AUTHORIZED:
        remedy = f"allow this user there to write to {topic}, or fix user under [MQTT]"
        return Verdict(Disposition.MISCONFIGURED, f"{said}: {remedy}", refused=True)
    if code == _BAD_TOPIC:
        return Verdict(Disposition.MISCONFIGURED, f"{said}: it takes no {topic}; fix topic under [MQTT]")
    return Verdict(Disposition.DEFERRED, said, record_may_be_the_cause=code != _QUOTA)


def judge_end(code: int, words: str, broker: Broker) -> Verdict:
    """What it means that ``broker`` refused or ended the connection for the reason ``code``, which is ``words``."""
    said = f"{broker.host}:{broker.port}: the broker says {words}"
    if code in _OLD_PROTOCOL:
        return Verdict(Disposition.MISCONFIGURED, f"{said}; it has to speak MQTT 5: update it")
    if code in _LOGIN:
        remedy = "fix user and passwordFile under [MQTT], or let this device in there"
        return Verdict(Disposition.MISCONFIGURED, f"{said}: {remedy}", refused=True)
    if code == _TAKEN_OVER:
        remedy = "another client has this device's uuid: end it, or fix uuid"
        return Verdict(Disposition.MISCONFIGURED, f"{said}: {remedy}")
    if code in _LATER:
        return Verdict(Disposition.DEFERRED, said)
    return Verdict(Disposition.MISCONFIGURED, f"{said}: fix broker under [MQTT], or the broker")
