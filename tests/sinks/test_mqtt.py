"""Records over MQTT: to a real mosquitto over TLS, and to a broker that says what no real one does."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kegnet_client.core.errors import ConfigError
from kegnet_client.core.records import Heartbeat, Pour, Reading, Record
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire import batch
from kegnet_client.core.wire.mqtt import parse_broker, parse_topic
from kegnet_client.host.clock import Clock
from kegnet_client.sinks import mqtt
from kegnet_client.sinks.base import Sink
from kegnet_client.sinks.mqtt_section import MqttSettings

from ..support.mosquitto import USER, Listener, Mosquitto
from ..support.sockets import Connection
from ..support.waits import wait_until
from . import mqtt_server
from .conftest import DEVICE, SINKS, Kind, Open, Start

NOW_MS = 1_800_000_000_000
POUR = Pour(3, 586, 8123, NOW_MS)
POUR_2 = Pour(4, 17, 900, NOW_MS + 2)
READING = Reading("28-0316a2795c5b", 3875, NOW_MS + 1)

Connect = Callable[..., Sink]


@pytest.fixture
def kind() -> Kind:
    return SINKS["MQTT"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real one, with TLS and a password."""
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def to_broker(broker: Mosquitto) -> Iterator[Connect]:
    """``to_broker(purpose)`` is a sink to it, as that broker knows it."""
    opened: list[Sink] = []

    def make(purpose: str = "", password: Path | None = None, user: str = USER) -> Sink:
        broker.password_file.chmod(0o600)
        settings = MqttSettings(
            parse_broker(f"mqtts://localhost:{broker.port}"),
            "home/bar",
            broker.authority.bundle,
            user,
            password or broker.password_file,
            None,
        )
        opened.append(mqtt.connect(settings, DEVICE, Clock().wall_ms, purpose)())
        return opened[-1]

    yield make
    for sink in opened:
        sink.close()


def dispositions(sink: Sink, records: list[Record | Heartbeat]) -> list[Disposition]:
    return [verdict.disposition for verdict in sink.send(records)]


def test_whoever_listens_hears_each_record_with_its_identity(broker: Mosquitto, to_broker: Connect) -> None:
    with Listener(broker) as listener:
        assert dispositions(to_broker(), [POUR, READING, Heartbeat(NOW_MS)]) == [Disposition.ACCEPTED] * 3
        topics = [f"home/bar/{DEVICE}/{name}" for name in ("pour", "reading", "heartbeat")]
        wait_until(lambda: set(topics) <= set(listener.last), "not all of it is heard")
        pour, reading, _ = (json.loads(listener.last[topic]) for topic in topics)

    identity = batch.identify(POUR, DEVICE)
    assert pour == {
        "id": identity,
        "type": "pour",
        "pin": 3,
        "pulses": 586,
        "elapsed_ms": 8123,
        "started_ms": NOW_MS,
    }
    assert (reading["sensor"], reading["millidegrees"], reading["taken_ms"]) == (READING.sensor, 3875, NOW_MS + 1)


def test_as_many_as_it_takes_at_once_have_one_verdict_each(to_broker: Connect) -> None:
    sink = to_broker()
    pours: list[Record | Heartbeat] = [Pour(0, 1 + number, 0, NOW_MS + number) for number in range(sink.max_records)]

    assert dispositions(sink, pours) == [Disposition.ACCEPTED] * len(pours)


@pytest.mark.case(88)
def test_a_broker_that_was_killed_defers_and_takes_records_again_when_it_is_back(
    broker: Mosquitto, to_broker: Connect
) -> None:
    sink = to_broker()
    assert dispositions(sink, [POUR]) == [Disposition.ACCEPTED]
    broker.stop(kill=True)
    (verdict,) = sink.send([POUR])
    assert (verdict.disposition, verdict.refused) == (Disposition.DEFERRED, False)
    broker.start()

    assert dispositions(sink, [POUR]) == [Disposition.ACCEPTED]


@pytest.mark.case(89)
def test_a_record_is_acknowledged_by_its_own_puback_and_by_nothing_else(start: Start, open_sink: Open) -> None:
    def take_one_and_die(connection: Connection) -> None:
        mqtt_server.greet(connection)
        for message in mqtt_server.messages(connection):
            if message.content["type"] == "reading":
                mqtt_server.acknowledge(connection, message)
                connection.reset()
                return

    verdicts = open_sink(start(take_one_and_die).port).send([POUR, READING])

    assert [one.disposition for one in verdicts] == [Disposition.DEFERRED, Disposition.ACCEPTED]


@pytest.mark.case(90)
def test_a_session_that_is_taken_over_says_who_to_look_for(start: Start, open_sink: Open) -> None:
    def take_over(connection: Connection) -> None:
        mqtt_server.greet(connection)
        for _ in mqtt_server.messages(connection):
            mqtt_server.disconnect(connection, mqtt_server.SESSION_TAKEN_OVER)
            return

    (verdict,) = open_sink(start(take_over).port).send([POUR])

    assert verdict.disposition is Disposition.MISCONFIGURED
    assert "another client has this device's uuid" in verdict.reason


@pytest.mark.case(90)
def test_a_session_that_was_taken_over_between_two_records_is_taken_back(to_broker: Connect) -> None:
    first, second = to_broker(), to_broker()
    for sink in (first, second, first):
        assert dispositions(sink, [POUR]) == [Disposition.ACCEPTED]


def test_a_check_does_not_take_over_the_daemons_session(broker: Mosquitto, to_broker: Connect) -> None:
    daemon, check = to_broker(), to_broker("-check")
    assert dispositions(daemon, [POUR]) == dispositions(check, [Heartbeat(NOW_MS)]) == [Disposition.ACCEPTED]
    assert dispositions(daemon, [READING]) == [Disposition.ACCEPTED]

    connections = [line for line in broker.log().splitlines() if f"as kegnet-client-{DEVICE} (" in line]
    assert len(connections) == 1


@pytest.mark.case(91)
def test_a_message_that_the_broker_may_not_take_from_this_user_stays_and_says_what_to_do(
    start: Start, open_sink: Open
) -> None:
    def refuse(connection: Connection) -> None:
        mqtt_server.greet(connection)
        for message in mqtt_server.messages(connection):
            mqtt_server.acknowledge(connection, message, mqtt_server.NOT_AUTHORIZED)

    verdicts = open_sink(start(refuse).port).send([POUR, POUR_2])

    assert verdicts[0] is verdicts[1]
    assert (verdicts[0].disposition, verdicts[0].refused) == (Disposition.MISCONFIGURED, True)
    assert f"kegnet/{DEVICE}/pour" in verdicts[0].reason


@pytest.mark.case(91)
@pytest.mark.parametrize(
    ("code", "disposition"),
    [
        (mqtt_server.BAD_TOPIC, Disposition.MISCONFIGURED),
        (mqtt_server.QUOTA_EXCEEDED, Disposition.DEFERRED),
        (mqtt_server.BAD_PAYLOAD, Disposition.REJECTED),
        (0x80, Disposition.DEFERRED),
        (0x10, Disposition.ACCEPTED),  # nobody listens, which is no matter of the record's
    ],
)
def test_each_reason_of_a_puback_has_its_verdict(
    start: Start, open_sink: Open, code: int, disposition: Disposition
) -> None:
    def answer(connection: Connection) -> None:
        mqtt_server.greet(connection)
        for message in mqtt_server.messages(connection):
            mqtt_server.acknowledge(connection, message, code)

    assert dispositions(open_sink(start(answer).port), [POUR]) == [disposition]


def test_a_broker_that_takes_one_message_at_a_time_gets_no_more(start: Start, open_sink: Open) -> None:
    unanswered: list[int] = []

    def one_by_one(connection: Connection) -> None:
        mqtt_server.greet(connection, properties=bytes([mqtt_server.RECEIVE_MAXIMUM, 0, 1]))
        for message in mqtt_server.messages(connection):
            connection.stream.settimeout(0.1)
            with pytest.raises(TimeoutError):
                connection.stream.recv(1)
            connection.stream.settimeout(None)
            unanswered.append(message.number)
            mqtt_server.acknowledge(connection, message)

    assert dispositions(open_sink(start(one_by_one).port), [POUR, READING]) == [Disposition.ACCEPTED] * 2
    assert len(unanswered) == 2


def test_a_broker_that_acknowledges_nothing_is_no_place_for_records(start: Start, open_sink: Open) -> None:
    def qos_0(connection: Connection) -> None:
        mqtt_server.greet(connection, properties=bytes([mqtt_server.MAXIMUM_QOS, 0]))
        connection.stream.recv(1)

    (verdict,) = open_sink(start(qos_0).port).send([POUR])

    assert verdict.disposition is Disposition.MISCONFIGURED
    assert "QoS 0" in verdict.reason


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n<html>", b"", b"\x20\x02\x00\x01"])
def test_what_is_no_mqtt_5_broker_takes_nothing_and_is_told_so(start: Start, open_sink: Open, answer: bytes) -> None:
    def be_something_else(connection: Connection) -> None:
        connection.stream.recv(4096)
        connection.stream.sendall(answer)

    (verdict,) = open_sink(start(be_something_else).port).send([POUR])

    assert verdict.disposition in (Disposition.DEFERRED, Disposition.MISCONFIGURED)
    assert "MQTT 5" in verdict.reason


def test_a_wrong_password_is_a_refusal_that_says_what_to_mend(to_broker: Connect, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("nonsense\n")
    wrong.chmod(0o600)

    (verdict,) = to_broker(password=wrong).send([POUR])

    assert (verdict.disposition, verdict.refused) == (Disposition.MISCONFIGURED, True)
    assert "passwordFile" in verdict.reason
    assert "nonsense" not in verdict.reason


@pytest.mark.parametrize(
    ("content", "mode", "fault"),
    [
        ("secret\n", 0o644, "is open to others"),
        ("", 0o600, "holds no password"),
        ("\n", 0o640, "holds no password"),
        (None, 0, "cannot be read"),
    ],
)
def test_a_password_file_that_will_not_do_is_told_at_once(
    tmp_path: Path, content: str | None, mode: int, fault: str
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    settings = MqttSettings(parse_broker("mqtt://localhost"), "kegnet", tmp_path, "keg", path, None)

    with pytest.raises(ConfigError, match=fault) as caught:
        mqtt.connect(settings, DEVICE, Clock().wall_ms)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("home/+/bar", "holds \\+ or #"),
        ("#", "holds \\+ or #"),
        ("$SYS/keg", "begins with \\$"),
        ("/keg", "has an empty part"),
        ("keg/", "has an empty part"),
        ("k" * 201, "is longer than 200 bytes"),
    ],
)
@pytest.mark.case(92)
def test_a_topic_that_is_none_is_told_as_a_fault_of_the_configuration(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_topic(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("mqtt://broker.example", "mqtt is not encrypted"),
        ("https://broker.example", "write it as mqtts://HOST"),
        ("mqtts://broker.example:0", "write it as mqtts://HOST"),
        ("mqtts://broker.example:65536", "write it as mqtts://HOST"),
        ("mqtts://user:password@broker.example", "write it as mqtts://HOST"),
    ],
)
def test_an_address_that_will_not_do_is_told_with_what_to_write(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_broker(text)


def test_a_broker_is_named_as_it_is_reached() -> None:
    assert str(parse_broker("MQTTS://Broker.example")) == "mqtts://Broker.example:8883"
    assert str(parse_broker("mqtt://[::1]:1884/")) == "mqtt://[::1]:1884"
    assert str(parse_broker("mqtt://127.0.0.1")) == "mqtt://127.0.0.1:1883"


def test_a_connection_that_is_not_made_yet_is_aborted_at_once(start: Start, open_sink: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # nobody shakes hands
        sink = open_sink(silent.getsockname()[1])
        came: list[Disposition] = []
        thread = threading.Thread(target=lambda: came.extend(dispositions(sink, [POUR])))
        thread.start()
        connection, _ = silent.accept()
        began_s = time.monotonic()
        sink.abort()
        thread.join(5)
        connection.close()

    assert came == [Disposition.DEFERRED]
    assert time.monotonic() - began_s < 5
