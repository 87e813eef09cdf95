"""Kegbot's API v1: what is written is read back, and whatever an answer holds, it is judged."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.records import FIRST_MS, LAST_MS, MAX_ELAPSED_MS, MAX_PULSES, Pour, Reading
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire import kegbot_api as api
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.base_url import ServerUrl

DEVICE = "0a1b2c3d-0000-4000-8000-000000000001"
NOW_MS = 1_800_000_000_000
URL = "https://kegbot.example/api/v1/taps"
POURS = st.builds(
    Pour,
    st.integers(0, 255),
    st.integers(1, MAX_PULSES),
    st.integers(0, MAX_ELAPSED_MS),
    st.integers(FIRST_MS, LAST_MS),
)


def answer(content: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(content).encode())


@given(POURS, st.integers(FIRST_MS, LAST_MS))
def test_a_drink_is_read_back_as_it_was_poured(pour: Pour, now_ms: int) -> None:
    nonce = api.nonce_of(pour, DEVICE)
    read = api.parse_drink_post(api.format_pour(pour, "kegboard.flow0", nonce, now_ms))

    assert read == api.DrinkPost(
        pour.pulses, pour.elapsed_ms // 1000, pour.started_ms + pour.elapsed_ms, now_ms // 1000, nonce
    )


@given(st.integers(-55_000, 125_000), st.sampled_from(["28-0316a2795c5b"]))
def test_a_temperature_is_read_back_as_it_was_taken(millidegrees: int, sensor: str) -> None:
    assert api.parse_temperature(api.format_temperature(Reading(sensor, millidegrees, NOW_MS))) == millidegrees


@given(POURS, POURS)
def test_a_nonce_is_that_of_one_pour_of_one_device_and_has_48_bits(one: Pour, other: Pour) -> None:
    nonce = api.nonce_of(one, DEVICE)
    assert nonce < 2**48
    assert (nonce == api.nonce_of(other, DEVICE)) == (one == other)
    assert nonce != api.nonce_of(one, DEVICE.replace("a", "b"))


def test_a_drink_as_it_goes_over_the_wire() -> None:
    body = api.format_pour(Pour(0, 586, 8123, NOW_MS), "kegboard.flow0", 281_474_976_710_655, NOW_MS + 60_000)
    assert body == (
        b"tap_name=kegboard.flow0&ticks=586&record_date=2027-01-15T08%3A00%3A08.123%2B00%3A00&pour_time=1800000008"
        b"&now=1800000060&tick_time_series=0%3A1+8123%3A585+281474976710655%3A0&duration=8"
    )


@pytest.mark.parametrize(
    ("series", "nonces"),
    [
        ("0:1 8123:585 77:0", {77}),
        ("0:1,8123:585,0077:00", {77}),
        ("[[0:1], [77:0]]", {77}),
        ("0:1 8123:585", set()),
        ("", set()),
        ("nonsense: 1:2:3 :0 9:", set()),
        ("9" * 5000 + ":0", set()),
    ],
)
def test_a_nonce_is_found_as_a_number_however_the_series_is_spelled(series: str, nonces: set[int]) -> None:
    assert api.find_nonces(series) == nonces


def test_taps_are_known_by_their_meters_and_whether_they_have_a_keg() -> None:
    taps = api.parse_taps(
        answer({"objects": [{"meter_name": "a.flow0", "current_keg_id": 5}, {"meter_name": "b.flow1"}], "meta": {}})
    )
    assert taps == {"a.flow0": api.Tap("a.flow0", True), "b.flow1": api.Tap("b.flow1", False)}


def test_a_pin_is_the_meter_that_is_named_or_the_only_one_of_its_number() -> None:
    taps = {name: api.Tap(name, True) for name in ("a.flow0", "a.flow1", "b.flow1", "a.flow10")}
    assert api.find_meter(taps, 0, {}) == "a.flow0"
    assert api.find_meter(taps, 1, {}) is None
    assert api.find_meter(taps, 1, {1: "b.flow1"}) == "b.flow1"
    assert api.find_meter(taps, 7, {}) is None


@given(
    st.binary()
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(
        lambda x: json.dumps(x).encode()
    )
)
def test_no_body_whatever_is_taken_for_taps_or_drinks(body: bytes) -> None:
    for parse in (api.parse_taps, api.parse_drinks, api.parse_drink):
        with pytest.raises(api.AnswerError):
            parse(Answer(200, {}, body))
    assert api.find_error(Answer(400, {}, body)) == ""


@pytest.mark.parametrize("drink", [{}, {"id": "1"}, {"id": True}, {"id": -1}, None, 7])
def test_a_drink_without_an_id_is_none(drink: object) -> None:
    with pytest.raises(api.AnswerError):
        api.parse_drink(answer({"object": drink}))
    with pytest.raises(api.AnswerError):
        api.parse_drinks(answer({"objects": [drink]}))


@pytest.mark.parametrize(
    ("status", "disposition", "refused", "expected"),
    [
        (401, Disposition.MISCONFIGURED, True, "apiKeyFile"),
        (403, Disposition.MISCONFIGURED, True, "apiKeyFile"),
        (404, Disposition.MISCONFIGURED, False, "fix apiUrl"),
        (302, Disposition.MISCONFIGURED, False, "final address"),
        (400, Disposition.MISCONFIGURED, False, "is set up"),
        (503, Disposition.DEFERRED, False, "answered 503"),
        (429, Disposition.DEFERRED, False, "answered 429"),
    ],
)
def test_an_answer_that_says_nothing_of_a_record_names_what_to_mend(
    status: int, disposition: Disposition, refused: bool, expected: str
) -> None:
    verdict = api.judge_refusal(Answer(status, {}), URL, NOW_MS)
    assert (verdict.disposition, verdict.refused) == (disposition, refused)
    assert expected in verdict.reason


def test_what_the_server_says_is_wrong_stands_in_the_reason() -> None:
    said = answer({"error": {"code": "BadApiKeyError", "message": "no such\nkey"}}, 401)
    assert "401: no such key: it takes no request without a good API key" in api.judge_refusal(said, URL, NOW_MS).reason


@pytest.mark.parametrize(
    "text", ["https://k.example/api", "https://k.example/api/", "https://k.example/api/v1", "https://k.example/api/v1/"]
)
def test_an_address_of_the_api_is_that_of_its_version_1(text: str) -> None:
    assert api.parse_api_url(text) == ServerUrl("https://k.example/api/v1", "k.example", 443, "/api/v1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://k.example", "it must end in /api"),
        ("https://k.example/", "it must end in /api"),
        ("http://k.example/api", "not encrypted"),
        ("k.example/api", "https://HOST/api"),
        ("https://key@k.example/api", "nothing else"),
        ("https://k.example/api?api_key=1", "nothing else"),
    ],
)
def test_a_wrong_address_says_what_to_write(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        api.parse_api_url(text)


def test_meters_of_pins_are_read_as_they_are_written() -> None:
    assert api.parse_meter_names("0:kegboard.flow0, 17:bar.flow1") == {0: "kegboard.flow0", 17: "bar.flow1"}


@pytest.mark.parametrize(
    "text", ["kegboard.flow0", "0:flow0", "256:a.flow0", "0:a.flow0,", "00:a.flow0", "0:a.flow0,0:b.flow1"]
)
def test_wrong_meters_of_pins_say_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write it"):
        api.parse_meter_names(text)


@pytest.mark.parametrize(
    ("text", "is_one"), [("0123456789abcdef", True), ("short", False), ("0123456789abcde ", False)]
)
def test_a_key_is_letters_and_digits(text: str, is_one: bool) -> None:
    assert api.is_key(text) is is_one


def test_a_time_without_its_offset_is_no_drinks() -> None:
    body = api.format_pour(Pour(1, 586, 8123, NOW_MS), "kegboard.flow1", 5, NOW_MS).replace(b"%2B00%3A00", b"")
    with pytest.raises(ValueError, match="no offset"):
        api.parse_drink_post(body)


def test_paths_hold_whatever_a_meter_or_sensor_is_called() -> None:
    assert api.tap_path("keg/board.flow0") == "taps/keg%2Fboard.flow0"
    assert api.sensor_path("28-0316a2795c5b") == "thermo-sensors/28-0316a2795c5b"
    assert api.format_cancel(17) == b"id=17"


def test_drinks_are_read_the_highest_id_first_with_their_nonces() -> None:
    drinks = [{"id": 3}, {"id": 8, "tick_time_series": "0:1 5:0"}]
    assert api.parse_drinks(answer({"objects": drinks})) == [api.Drink(8, frozenset({5})), api.Drink(3, None)]
    assert api.parse_drink(answer({"object": drinks[0]})) == api.Drink(3, None)


def test_taps_are_taken_from_a_list_of_named_meters_alone() -> None:
    contents: list[object] = [{"objects": {}}, {"objects": [{}]}, {"objects": [7]}]
    for content in contents:
        with pytest.raises(api.AnswerError):
            api.parse_taps(answer(content))
    for ml, taken in ((0.37, 0.37), (0, 0.0), ("much", 0.0), (10**6, 0.0)):
        taps = api.parse_taps(answer({"objects": [{"meter_name": "a.flow0", "ml_per_tick": ml}]}))
        assert taps["a.flow0"].ml_per_tick == taken


def test_only_the_server_itself_says_that_something_is_not_there() -> None:
    assert api.is_unknown(answer({"error": {"code": "NotFoundError", "message": "no such drink"}}, 404))
    assert not api.is_unknown(Answer(404, {}, b"<html>"))
    assert api.is_later_version(answer({}, 410))


def test_a_good_answer_that_is_not_kegbots_is_an_address_to_mend() -> None:
    verdict = api.judge_nonsense(Answer(200, {}, b"<html>"), URL)
    assert verdict.disposition is Disposition.MISCONFIGURED
    assert "fix apiUrl" in verdict.reason


def test_a_redirect_names_where_it_leads() -> None:
    verdict = api.judge_refusal(Answer(301, {"location": "https://k.example/api"}), URL, NOW_MS)
    assert verdict.disposition is Disposition.MISCONFIGURED
    assert "https://k.example/api" in verdict.reason
