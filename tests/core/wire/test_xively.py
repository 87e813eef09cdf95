"""Xively's API v2: what a feed is told, exactly, and what its answers mean for a record."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.records import Pour, Reading
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.xively import RATE_LIMIT_S, format_feed, judge, parse_api_url, parse_feed_id

URL = "https://feeds.example/v2/feeds/42"
SENSOR = "28-0316a2795c5b"


def streams(content: bytes) -> dict[str, tuple[str, str]]:
    return {one["id"]: (one["at"], one["current_value"]) for one in json.loads(content)["datastreams"]}


def test_the_address_ends_in_the_version() -> None:
    assert parse_api_url("https://feeds.example/v2") == "https://feeds.example/v2"
    with pytest.raises(ValueError, match="must end in /v2"):
        parse_api_url("https://feeds.example/v1")


def test_a_feed_is_a_number() -> None:
    assert parse_feed_id("42") == 42
    for text in ("0", "042", "x", "", "٤٢"):
        with pytest.raises(ValueError, match="not the number of a feed"):
            parse_feed_id(text)


def test_a_pour_is_two_streams_of_one_moment() -> None:
    assert streams(format_feed(Pour(3, 586, 8120, 1_700_000_000_250))) == {
        "pour-pulses-3": ("2023-11-14T22:13:20.250Z", "586"),
        "pour-time-3": ("2023-11-14T22:13:20.250Z", "8.12"),
    }


@pytest.mark.parametrize(
    ("millidegrees", "fahrenheit"), [(0, "32"), (3875, "38.975"), (-55_000, "-67"), (-17_800, "-0.04"), (1, "32.0018")]
)
def test_a_temperature_is_told_in_fahrenheit_to_the_last_digit(millidegrees: int, fahrenheit: str) -> None:
    content = format_feed(Reading(SENSOR, millidegrees, 1_700_000_000_000))
    assert streams(content) == {f"temp-{SENSOR}": ("2023-11-14T22:13:20Z", fahrenheit)}


@given(st.integers(-55_000, 125_000))
def test_what_is_told_is_the_temperature_that_was_measured(millidegrees: int) -> None:
    ((_, value),) = streams(format_feed(Reading(SENSOR, millidegrees, 1_700_000_000_000))).values()
    assert round((float(value) - 32) / 1.8 * 1000) == millidegrees


@pytest.mark.parametrize(
    ("status", "disposition"),
    [
        (200, Disposition.ACCEPTED),
        (400, Disposition.REJECTED),
        (422, Disposition.REJECTED),
        (401, Disposition.MISCONFIGURED),
        (403, Disposition.DEFERRED),
        (404, Disposition.MISCONFIGURED),
        (429, Disposition.DEFERRED),
        (503, Disposition.DEFERRED),
    ],
)
def test_a_record_is_gone_after_a_good_answer_alone(status: int, disposition: Disposition) -> None:
    assert judge(Answer(status, {}, b"{}"), URL, 0).disposition is disposition


def test_a_page_is_no_acknowledgement() -> None:
    verdict = judge(Answer(200, {"content-type": "text/html"}, b"<html>"), URL, 0)
    assert verdict.disposition is Disposition.MISCONFIGURED
    assert "fix apiUrl or feedId" in verdict.reason


def test_too_many_requests_wait_a_minute_and_say_what_else_it_may_be() -> None:
    verdict = judge(Answer(403, {}, b""), URL, 0)
    assert verdict.retry_after_s == RATE_LIMIT_S
    assert "may not write to this feed" in verdict.reason
