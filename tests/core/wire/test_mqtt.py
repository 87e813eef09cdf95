"""Records over MQTT: where a broker may be, what is published, and what each of its reasons means for a record."""

import json

import pytest

from kegnet_client.core.records import Heartbeat, Pour, Reading, Record
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire.batch import identify
from kegnet_client.core.wire.mqtt import (
    Broker,
    format_message,
    judge_end,
    judge_publish,
    parse_broker,
    parse_topic,
)

DEVICE = "0a1b2c3d-0000-4000-8000-000000000001"
NOW_MS = 1_800_000_000_000
BROKER = Broker("broker.example", 8883, has_tls=True)


@pytest.mark.parametrize(
    ("text", "broker", "shown"),
    [
        ("mqtts://broker.example", BROKER, "mqtts://broker.example:8883"),
        ("MQTTS://broker.example:1234/", Broker("broker.example", 1234, has_tls=True), "mqtts://broker.example:1234"),
        ("mqtt://localhost", Broker("localhost", 1883, has_tls=False), "mqtt://localhost:1883"),
        ("mqtts://[2001:db8::1]", Broker("2001:db8::1", 8883, has_tls=True), "mqtts://[2001:db8::1]:8883"),
    ],
)
def test_a_broker_is_named_by_its_address(text: str, broker: Broker, shown: str) -> None:
    assert parse_broker(text) == broker
    assert str(broker) == shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("broker.example", "write it as mqtts://HOST"),
        ("mqtts://broker.example:0", "write it as mqtts://HOST"),
        ("mqtts://broker.example:65536", "write it as mqtts://HOST"),
        ("mqtts://user:secret@broker.example", "write it as mqtts://HOST"),
        ("mqtt://broker.example", "not encrypted"),
    ],
)
def test_what_names_no_broker_that_may_be_trusted_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_broker(text)


def test_a_topic_is_taken_as_it_is_written() -> None:
    assert parse_topic("home/bar") == "home/bar"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("home/+", "stand for other topics"),
        ("#", "stand for other topics"),
        ("$SYS/bar", "the broker's own"),
        ("/home", "an empty part"),
        ("", "an empty part"),
        ("ä" * 101, "longer than 200 bytes"),
    ],
)
def test_a_topic_that_no_message_can_have_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_topic(text)


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (Pour(3, 586, 8123, NOW_MS), "pour"),
        (Reading("28-0316a2795c5b", 3875, NOW_MS), "reading"),
        (Heartbeat(NOW_MS), "heartbeat"),
    ],
)
def test_a_message_carries_the_records_identity_under_its_own_topic(record: Record | Heartbeat, kind: str) -> None:
    topic, content = format_message(record, DEVICE, "kegnet")
    said = json.loads(content)
    assert topic == f"kegnet/{DEVICE}/{kind}"
    assert (said["id"], said["type"]) == (identify(record, DEVICE), kind)


@pytest.mark.parametrize(
    ("code", "disposition", "may_be_the_records"),
    [
        (0x00, Disposition.ACCEPTED, False),
        (0x10, Disposition.ACCEPTED, False),
        (0x80, Disposition.DEFERRED, True),
        (0x83, Disposition.DEFERRED, True),
        (0x87, Disposition.MISCONFIGURED, False),
        (0x90, Disposition.MISCONFIGURED, False),
        (0x97, Disposition.DEFERRED, False),
        (0x99, Disposition.REJECTED, False),
    ],
)
def test_a_record_is_gone_after_a_good_puback_alone(
    code: int, disposition: Disposition, may_be_the_records: bool
) -> None:
    verdict = judge_publish(code, "so", "kegnet/pour")
    assert verdict.disposition is disposition
    assert verdict.record_may_be_the_cause is may_be_the_records
    assert "the broker answered so" in verdict.reason


@pytest.mark.parametrize(
    ("code", "disposition", "remedy"),
    [
        (0x84, Disposition.MISCONFIGURED, "update it"),
        (0x86, Disposition.MISCONFIGURED, "passwordFile"),
        (0x8E, Disposition.MISCONFIGURED, "another client has this device's uuid"),
        (0x89, Disposition.DEFERRED, "busy"),
        (0x9D, Disposition.MISCONFIGURED, "fix broker under"),
    ],
)
def test_the_end_of_a_connection_says_what_to_do(code: int, disposition: Disposition, remedy: str) -> None:
    verdict = judge_end(code, "busy", BROKER)
    assert verdict.disposition is disposition
    assert verdict.reason.startswith("broker.example:8883: the broker says busy")
    assert remedy in verdict.reason
