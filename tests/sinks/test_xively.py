"""Records in the shape of Xively's API v2, against a small server that speaks it."""

import json
from pathlib import Path

import pytest

from kegnet_client.core.errors import ConfigError
from kegnet_client.core.records import Heartbeat, Pour, Reading
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.xively import format_feed, judge, parse_api_url, parse_feed_id
from kegnet_client.host.clock import Clock
from kegnet_client.sinks import xively
from kegnet_client.sinks.xively_section import XivelySettings

from ..support.sockets import Behaviour, Connection
from .conftest import SINKS, Kind, Open, Start

POUR = Pour(0, 586, 8000, 1_372_686_435_000)
URL = "https://localhost/v2/feeds/1"


@pytest.fixture
def kind() -> Kind:
    return SINKS["Xively"]


def answering(status: str, body: bytes = b"", *headers: str) -> Behaviour:
    def behave(connection: Connection) -> None:
        while connection.request():
            connection.answer(*headers, status=status, body=body)

    return behave


def test_a_pour_is_one_put_with_both_datastreams_at_its_start(start: Start, open_sink: Open) -> None:
    server = start(answering("200 OK"))
    (verdict,) = open_sink(server.port).send([POUR])

    assert verdict.disposition is Disposition.ACCEPTED
    (request,) = (one for one in server.received if one)
    head, _, content = request.partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /v2/feeds/123456 HTTP/1.1\r\n")
    assert b"X-ApiKey: KEY\r\n" in head + b"\r\n"
    # As it stands in the archived documentation of the API.
    assert json.loads(content) == {
        "version": "1.0.0",
        "datastreams": [
            {"id": "pour-pulses-0", "at": "2013-07-01T13:47:15Z", "current_value": "586"},
            {"id": "pour-time-0", "at": "2013-07-01T13:47:15Z", "current_value": "8"},
        ],
    }


@pytest.mark.parametrize(
    ("millidegrees", "fahrenheit"),
    [(3875, "38.975"), (0, "32"), (-17_778, "-0.0004"), (-55_000, "-67"), (62, "32.1116")],
)
def test_a_temperature_is_in_degrees_fahrenheit(millidegrees: int, fahrenheit: str) -> None:
    feed = json.loads(format_feed(Reading("28-0316a2795c5b", millidegrees, 1_372_686_435_120)))
    assert feed["datastreams"] == [
        {"id": "temp-28-0316a2795c5b", "at": "2013-07-01T13:47:15.120Z", "current_value": fahrenheit}
    ]


def test_a_sign_of_life_looks_at_the_feed(start: Start, open_sink: Open) -> None:
    server = start(answering("200 OK"))
    assert open_sink(server.port).send([Heartbeat(1)])[0].disposition is Disposition.ACCEPTED
    assert server.received[0].startswith(b"GET /v2/feeds/123456 HTTP/1.1\r\n")


@pytest.mark.case(106)
@pytest.mark.parametrize(
    ("status", "disposition", "said"),
    [
        (200, Disposition.ACCEPTED, "answered 200"),
        (400, Disposition.REJECTED, "JSON parser error"),
        (422, Disposition.REJECTED, "JSON parser error"),
        (401, Disposition.MISCONFIGURED, "fix the key in apiKeyFile"),
        (404, Disposition.MISCONFIGURED, "fix apiUrl or feedId"),
        (406, Disposition.MISCONFIGURED, "fix apiUrl or feedId"),
        (301, Disposition.MISCONFIGURED, "fix apiUrl or feedId"),
        (403, Disposition.DEFERRED, "too many requests, or the key in apiKeyFile may not write"),
        (429, Disposition.DEFERRED, "answered 429"),
        (503, Disposition.DEFERRED, "answered 503"),
    ],
)
def test_each_status_is_told_as_what_it_is_there(status: int, disposition: Disposition, said: str) -> None:
    verdict = judge(Answer(status, {}, b'{"title":"JSON parser error","errors":"x"}'), URL, 0)
    assert verdict.disposition is disposition
    assert said in verdict.reason


@pytest.mark.case(106)
def test_a_page_of_html_acknowledges_nothing() -> None:
    verdict = judge(Answer(200, {"content-type": "text/html; charset=utf-8"}, b"<html>Log in"), URL, 0)
    assert verdict.disposition is Disposition.MISCONFIGURED


def test_a_403_waits_for_a_minute_and_is_no_reason_to_reject() -> None:
    assert judge(Answer(403, {}), URL, 0).retry_after_s == 60


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("http://xively.example/v2", "http is not encrypted"),
        ("https://xively.example", "must end in /v2"),
        ("https://xively.example/v2?key=1", "nothing else; write it as https://HOST/v2"),
        ("xively.example/v2", "write it as https://HOST/v2"),
    ],
)
def test_an_address_that_will_not_do_is_told_with_what_to_write(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_api_url(text)
    assert parse_api_url("https://xively.example/v2/") == "https://xively.example/v2"


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "٣", "1" * 19, "keg"])
def test_a_feed_that_is_no_number_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not the number of a feed"):
        parse_feed_id(text)


@pytest.mark.parametrize(
    ("content", "fault"), [("schlüssel\n", "is not ASCII"), ("a\x07b\n", "cannot be seen"), ("", "holds no key")]
)
def test_a_key_of_the_wrong_form_is_told_at_once_and_not_shown(tmp_path: Path, content: str, fault: str) -> None:
    key = tmp_path / "key"
    key.write_text(content)
    key.chmod(0o640)
    with pytest.raises(ConfigError, match=fault) as caught:
        xively.connect(XivelySettings("http://localhost/v2", 1, key, tmp_path), Clock().wall_ms)
    assert "schl" not in str(caught.value)
