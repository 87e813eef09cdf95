"""An MQTT 5 broker that says what no real one can be made to say, on `..support.sockets`."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..support.sockets import Behaviour, Connection

CONNECT, CONNACK, PUBLISH, PUBACK, DISCONNECT = 0x10, 0x20, 0x30, 0x40, 0xE0
SUCCESS = 0x00
BAD_LOGIN = 0x86
NOT_AUTHORIZED = 0x87
SERVER_BUSY = 0x89
SESSION_TAKEN_OVER = 0x8E
BAD_TOPIC = 0x90
QUOTA_EXCEEDED = 0x97
BAD_PAYLOAD = 0x99
SERVER_MOVED = 0x9D
MAXIMUM_QOS = 0x24
RECEIVE_MAXIMUM = 0x21


class Message(NamedTuple):
    """A message that was published."""

    number: int
    topic: str
    content: dict[str, Any]


def greet(connection: Connection, code: int = SUCCESS, properties: bytes = b"") -> None:
    """Read CONNECT and answer it."""
    packet = _read(connection)
    connection.server.received.append(packet)
    assert packet[0] == CONNECT
    send(connection, CONNACK, bytes([0, code, len(properties)]) + properties)


def messages(connection: Connection) -> Iterator[Message]:
    """What is published, until the client goes."""
    while packet := _read(connection):
        if packet[0] & 0xF0 != PUBLISH:
            continue
        connection.server.received.append(packet)
        connection.server.asked.set()
        yield _parse(packet)


def acknowledge(connection: Connection, message: Message, code: int = SUCCESS) -> None:
    """Send the PUBACK."""
    send(connection, PUBACK, message.number.to_bytes(2) + bytes([code]))


def disconnect(connection: Connection, code: int) -> None:
    """Send the DISCONNECT, and say why."""
    send(connection, DISCONNECT, bytes([code, 0]))


def send(connection: Connection, kind: int, body: bytes) -> None:
    connection.stream.sendall(bytes([kind, len(body)]) + body)


def accept(connection: Connection) -> None:
    """Take everything."""
    greet(connection)
    for message in messages(connection):
        acknowledge(connection, message)


def reject_second(connection: Connection) -> None:
    """Call the second message's content none."""
    greet(connection)
    for index, message in enumerate(messages(connection)):
        acknowledge(connection, message, BAD_PAYLOAD if index == 1 else SUCCESS)


def refusing(code: int) -> Behaviour:
    """Answer CONNECT with ``code``."""

    def behave(connection: Connection) -> None:
        greet(connection, code)

    return behave


def _read(connection: Connection) -> bytes:
    """One packet, its length left out; empty when the client has gone."""
    kind = connection.stream.recv(1)
    if not kind:
        return b""
    length = shift = 0
    while True:
        (byte,) = connection.stream.recv(1)
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    body = b""
    while len(body) < length:
        more = connection.stream.recv(length - len(body))
        if not more:
            return b""
        body += more
    return kind + body


def _parse(packet: bytes) -> Message:
    length = int.from_bytes(packet[1:3])
    topic, rest = packet[3 : 3 + length].decode(), packet[3 + length :]
    number, properties = int.from_bytes(rest[:2]), rest[2]
    return Message(number, topic, json.loads(rest[3 + properties :]))
