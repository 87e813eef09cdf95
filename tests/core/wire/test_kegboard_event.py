"""Kegboard events: what is written is read back, and the pairing in any answer is judged."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.records import FIRST_MS, LAST_MS, MAX_ELAPSED_MS, MAX_PULSES, Pour, Reading
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire import kegboard_event as wire
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.kegbot_api import parse_api_url

UUID_OF_DEVICE = "0a1b2c3d-0000-4000-8000-000000000001"
POURS = st.builds(
    Pour,
    st.integers(0, 255),
    st.integers(1, MAX_PULSES),
    st.integers(0, MAX_ELAPSED_MS),
    st.integers(FIRST_MS, LAST_MS),
)
EVENTS = st.one_of(
    st.builds(wire.make_pour, POURS, st.just(UUID_OF_DEVICE), st.floats(1e-6, 1000), st.integers(FIRST_MS, LAST_MS)),
    st.builds(
        wire.make_temperature,
        st.builds(Reading, st.just("28-0316a2795c5b"), st.integers(-55_000, 125_000), st.integers(FIRST_MS, LAST_MS)),
        st.integers(FIRST_MS, LAST_MS),
    ),
    st.builds(
        wire.make_status,
        st.just("1"),
        st.integers(0, 2**40),
        st.dictionaries(st.integers(0, 255), st.floats(1e-3, 10), max_size=3),
    ),
)


@given(st.lists(EVENTS, min_size=1, max_size=16), st.integers(1, 2**31))
def test_events_are_read_back_as_they_were_told(events: list[wire.Event], first_id: int) -> None:
    read = wire.parse_envelope(wire.format_envelope("kegnet-0a1b2c3d", "9f3a2c1b", 7, first_id, events))
    assert (read.device, read.boot_id) == ("kegnet-0a1b2c3d", "9f3a2c1b")
    assert read.events == {first_id + index: event for index, event in enumerate(events)}


@given(POURS, POURS, st.integers(FIRST_MS, LAST_MS))
def test_a_pour_has_one_id_whenever_it_is_told(one: Pour, other: Pour, now_ms: int) -> None:
    first = wire.make_pour(one, UUID_OF_DEVICE, 0.5, now_ms)
    again = wire.make_pour(one, UUID_OF_DEVICE, 0.7, LAST_MS)
    assert str(UUID(str(first.data["pour_id"]))) == first.data["pour_id"] == again.data["pour_id"]
    different = wire.make_pour(other, UUID_OF_DEVICE, 0.5, now_ms)
    assert (different.data["pour_id"] == first.data["pour_id"]) == (one == other)
    assert first.age_ms >= 0


def test_a_pour_is_told_as_long_ago_as_its_end() -> None:
    event = wire.make_pour(Pour(1, 586, 8123, 1_800_000_000_000), UUID_OF_DEVICE, 0.5, 1_800_000_010_000)
    assert (event.kind, event.age_ms) == ("pour", 1877)
    assert event.data["volume_ml"] == 293
    assert event.data["meter_number"] == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, {}, b"{}"), None),
        (Answer(401, {}, b"<html>"), wire.Pairing("pending", None)),
        (Answer(401, {}, b"[]"), wire.Pairing("pending", None)),
        (Answer(401, {}, b'{"pairing": 7}'), wire.Pairing("pending", None)),
        (Answer(401, {}, b'{"pairing": {"state": "denied"}}'), wire.Pairing("denied", None)),
        (Answer(401, {}, b'{"pairing": {"state": "allowed", "token": "kbe_1"}}'), wire.Pairing("allowed", "kbe_1")),
        (
            Answer(401, {}, json.dumps({"pairing": {"state": "allowed", "token": "a\nb"}}).encode()),
            wire.Pairing("allowed", None),
        ),
    ],
)
def test_how_the_pairing_stands_is_read_from_any_answer(answer: Answer, expected: wire.Pairing | None) -> None:
    assert wire.parse_pairing(answer) == expected


def test_an_event_that_is_called_wrong_is_rejected_and_nothing_else_is() -> None:
    verdict = wire.judge_invalid(Answer(400, {}, b'{"error": "invalid", "detail": "volume_ml"}'))
    assert verdict is not None
    assert verdict.disposition is Disposition.REJECTED
    assert "volume_ml" in verdict.reason
    for other in (Answer(400, {}, b'{"error": "unsupported_version"}'), Answer(400, {}, b"<html>"), Answer(413, {})):
        assert wire.judge_invalid(other) is None


def test_events_go_beside_the_api() -> None:
    assert wire.events_url(parse_api_url("https://k.example/bar/api")) == "https://k.example/bar/api/kegboard-event"


def test_a_device_and_its_meters_have_names_that_a_person_can_find() -> None:
    device = wire.name_device(UUID_OF_DEVICE)
    assert (device, wire.name_meter(device, 3)) == ("kegnet-0a1b2c3d", "kegnet-0a1b2c3d.flow3")


def test_another_version_is_not_read() -> None:
    with pytest.raises(ValueError, match="another version"):
        wire.parse_envelope(b'{"v": 2}')


def test_events_are_the_servers_after_a_200_alone() -> None:
    assert wire.is_heard(Answer(200, {}))
    assert not wire.is_heard(Answer(202, {}))


@pytest.mark.parametrize(("state", "said"), [("denied", "denies kegnet-1"), ("pending", "does not know kegnet-1 yet")])
def test_who_is_not_paired_is_told_where_to_allow_it(state: str, said: str) -> None:
    verdict = wire.judge_unpaired(wire.Pairing(state, None), "kegnet-1", "k.example")
    assert verdict.disposition is Disposition.MISCONFIGURED
    assert said in verdict.reason
    assert "allow it there" in verdict.reason
