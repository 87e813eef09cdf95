"""Every sink, and servers for them: a new sink joins `SINKS` by one line. The model of a disk is the torture rig's."""

import json
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from kegnet_client.core.wire.base_url import parse_base_url
from kegnet_client.core.wire.kegbot_api import parse_api_url
from kegnet_client.core.wire.mqtt import parse_broker
from kegnet_client.host.clock import Clock
from kegnet_client.keys import parse_identity
from kegnet_client.sinks import kegbot, mqtt, xively
from kegnet_client.sinks.base import Sink
from kegnet_client.sinks.kegbot_section import KegbotSettings
from kegnet_client.sinks.kegnet_section import KegNetSettings
from kegnet_client.sinks.mqtt_section import MqttSettings
from kegnet_client.sinks.open import connect
from kegnet_client.sinks.xively_section import XivelySettings

from ..support.authority import Authority
from ..support.kegbot import KEY
from ..support.sockets import Behaviour, Connection, Server
from . import kegbot_server, mqtt_server
from .kegbot_rig import Rig

sys.path.append(str(Path(__file__).parents[1] / "torture"))

DEVICE = "0a1b2c3d-0000-4000-8000-000000000001"


def _accept_form(connection: Connection) -> None:
    while connection.request():
        connection.answer()


def _reject_second_form(connection: Connection) -> None:
    while connection.request():
        is_second = len(connection.server.received) == 2
        connection.answer(
            status="400 Bad Request" if is_second else "200 OK", body=b"no such pin" if is_second else b""
        )


def _accept_batch(connection: Connection) -> None:
    while request := connection.request():
        _answer_batch(connection, request, [])


def _reject_second_of_batch(connection: Connection) -> None:
    while request := connection.request():
        _answer_batch(connection, request, [{"index": 1, "reason": "no such pin"}])


def _answer_batch(connection: Connection, request: bytes, rejected: list[dict[str, object]]) -> None:
    head, _, content = request.partition(b"\r\n\r\n")
    lines = (line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    headers = {name.lower().decode(): value.decode() for name, value in lines}
    accepted = len(json.loads(content)["records"]) - len(rejected)
    body = {"request": headers["content-digest"], "accepted": accepted, "rejected": rejected}
    connection.answer("Content-Type: application/json", body=json.dumps(body).encode())


def answering(status: str) -> Behaviour:
    """A server that answers each request so."""

    def behave(connection: Connection) -> None:
        while connection.request():
            connection.answer(status=status)

    return behave


UNAUTHORIZED = answering("401 Unauthorized")
NOT_FOUND = answering("404 Not Found")
UNAVAILABLE = answering("503 Service Unavailable")


@dataclass(frozen=True, slots=True)
class Stage:
    """What a sink is made of here: the server's port, the CA that it is to prove itself to, and a device's key."""

    port: int
    ca: Path
    key_pem: bytes
    directory: Path


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sink, and servers that accept all of its records, reject the second one and say why, refuse the
    device, are not where records go, or are too busy."""

    make: Callable[[Stage], Sink]
    accept: Behaviour
    reject_second: Behaviour
    refuse: Behaviour = UNAUTHORIZED
    misplaced: Behaviour = NOT_FOUND
    busy: Behaviour = UNAVAILABLE
    why_rejected: str = "no such pin"


def _kegnet(path: str) -> Callable[[Stage], Sink]:
    def make(stage: Stage) -> Sink:
        base = parse_base_url(f"https://localhost:{stage.port}{path}")
        settings = KegNetSettings(DEVICE, base, stage.directory / "privkey.pem", stage.ca, 600, 20)
        return connect(settings, Clock(), parse_identity(DEVICE, stage.key_pem, base.version, stage.directory))()

    return make


def _kegbot(stage: Stage) -> Sink:
    key = stage.directory / "kegbot-key"
    key.touch(0o600)
    key.write_text(KEY)
    api = parse_api_url(f"https://localhost:{stage.port}/api")
    settings = KegbotSettings(api, key, None, stage.ca, stage.directory / "journal", None)
    return kegbot.connect(settings, DEVICE, Clock())()


def _mqtt(stage: Stage) -> Sink:
    broker = parse_broker(f"mqtts://localhost:{stage.port}")
    settings = MqttSettings(broker, "kegnet", stage.ca, None, None, None)
    return mqtt.connect(settings, DEVICE, Clock().wall_ms)()


def _xively(stage: Stage) -> Sink:
    key = stage.directory / "xively-key"
    key.write_text("KEY\n")
    key.chmod(0o600)
    settings = XivelySettings(f"https://localhost:{stage.port}/v2", 123456, key, stage.ca)
    return xively.connect(settings, Clock().wall_ms)()


SINKS = {
    "REST v1": Kind(_kegnet("/rest/v1"), _accept_form, _reject_second_form),
    "REST v2": Kind(_kegnet("/rest/v2"), _accept_form, _reject_second_form),
    "REST v3": Kind(_kegnet("/rest/v3"), _accept_batch, _reject_second_of_batch),
    "Kegbot 1.3": Kind(_kegbot, kegbot_server.accept, kegbot_server.reject_second),
    "Kegbot 2.0": Kind(_kegbot, kegbot_server.accept_events, kegbot_server.reject_second_event),
    "MQTT": Kind(
        _mqtt,
        accept=mqtt_server.accept,
        reject_second=mqtt_server.reject_second,
        refuse=mqtt_server.refusing(mqtt_server.BAD_LOGIN),
        misplaced=mqtt_server.refusing(mqtt_server.SERVER_MOVED),
        busy=mqtt_server.refusing(mqtt_server.SERVER_BUSY),
        why_rejected="Payload format invalid",
    ),
    "Xively": Kind(_xively, _accept_form, _reject_second_form),
}

Open = Callable[..., Sink]
Start = Callable[[Behaviour], Server]


@pytest.fixture(params=list(SINKS.values()), ids=list(SINKS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of sink in turn."""
    found: Kind = request.param
    return found


@pytest.fixture(params=["1.2", "1.3"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """A Kegbot sink and a server of that version, whose ids do not jump."""
    with closing(Rig(tmp_path / "journal", Random(1), request.param)) as rig:  # noqa: S311 (no secret)
        yield rig


@pytest.fixture
def start(chain: Path) -> Iterator[Start]:
    """``start(behave)`` is a server with a good certificate."""
    servers: list[Server] = []

    def serve(behave: Behaviour) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        servers.append(Server(context, behave, shake_hands=True))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def open_sink(kind: Kind, authority: Authority, key_pem: bytes, tmp_path: Path) -> Iterator[Open]:
    """``open_sink(port)`` is a sink to a server there that is to prove itself to ``ca``, our CA unless told."""
    opened: list[Sink] = []

    def make(port: int, ca: Path = authority.bundle) -> Sink:
        opened.append(kind.make(Stage(port, ca, key_pem, tmp_path)))
        return opened[-1]

    yield make
    for sink in opened:
        sink.close()
