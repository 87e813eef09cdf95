"""Kegbot's events are read as its programs write them, and what is none is refused."""

import contextlib
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.errors import RecordError
from kegnet_client.core.wire.local_events import (
    ALL_METERS,
    MAX_MESSAGE_BYTES,
    ControllerConnectedEvent,
    DrinkCreatedEvent,
    FlowRequest,
    FlowUpdate,
    Heard,
    MeterUpdate,
    OtherEvent,
    PassedOn,
    Said,
    SetRelayOutputEvent,
    Splitter,
    ThermoEvent,
    TokenAuthEvent,
    format_redis,
    format_tcp,
    parse_any,
    parse_event,
    relay_of,
    split_meter,
    split_relay,
)

METER = "kegboard.flow0"
START_MS = 1_767_268_800_500
FLOW = FlowUpdate(7, METER, "active", START_MS, START_MS + 7000, 1000)
DRINK = DrinkCreatedEvent(7, 7, METER, START_MS, START_MS + 7000)
RELAY = SetRelayOutputEvent("kegboard.relay0", "enabled")


def encoded(event: str, **data: Any) -> bytes:
    return json.dumps({"event": event, "data": data}).encode()


@pytest.mark.parametrize("name", ["meter_name", "tap_name"])
@pytest.mark.parametrize(
    ("event", "data", "heard"),
    [
        ("MeterUpdate", {"reading": 1200}, MeterUpdate(METER, 1200)),
        ("FlowRequest", {"request": "start_flow"}, FlowRequest(METER, "start_flow")),
        (
            "TokenAuthEvent",
            {"auth_device_name": "core.rfid", "token_value": "0f01", "status": "added"},
            TokenAuthEvent(METER, "core.rfid", "0f01", "added"),
        ),
    ],
)
def test_a_meter_is_called_as_either_kegbot_does(name: str, event: str, data: dict[str, Any], heard: Heard) -> None:
    assert parse_event(encoded(event, **{name: METER}, **data)) == heard


@pytest.mark.parametrize("meter", [{}, {"tap_name": ""}, {"tap_name": ALL_METERS}])
def test_a_token_for_no_tap_is_for_all(meter: dict[str, str]) -> None:
    data = {"auth_device_name": "core.onewire", "token_value": "01", "status": "removed"}
    assert parse_event(encoded("TokenAuthEvent", **meter, **data)) == TokenAuthEvent(
        ALL_METERS, "core.onewire", "01", "removed"
    )


def test_a_board_that_was_connected_is_heard_of() -> None:
    message = encoded("ControllerConnectedEvent", controller_name="kegboard-0123abcd")
    assert parse_event(message) == ControllerConnectedEvent("kegboard-0123abcd")


def test_a_temperature_is_read() -> None:
    message = encoded("ThermoEvent", sensor_name="thermo-7c0000009b596628", sensor_value=22.875)
    assert parse_event(message) == ThermoEvent("thermo-7c0000009b596628", 22.875)


@pytest.mark.parametrize("name", ["FlowUpdate", "DrinkCreatedEvent", "SomethingNew"])
def test_what_is_not_for_us_is_no_fault(name: str) -> None:
    assert parse_event(encoded(name, anything=1)) == OtherEvent(name)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"hello", "not one JSON object"),
        (b"\xff\xfe", "not one JSON object"),
        (b"[" * 5000, "not one JSON object"),
        (b"[1]", "not an object with an event"),
        (b'{"event": 1, "data": {}}', "not an object with an event"),
        (b'{"event": "MeterUpdate"}', "has no data"),
        (encoded("MeterUpdate", meter_name=METER, reading="5"), "reading is not a whole number"),
        (encoded("MeterUpdate", meter_name=METER, reading=True), "reading is not a whole number"),
        (encoded("MeterUpdate", meter_name=METER, reading=-1), "reading is not a whole number"),
        (encoded("MeterUpdate", meter_name=METER, reading=2**32), "reading is not a whole number"),
        (encoded("MeterUpdate", meter_name=METER, reading=1.0), "reading is not a whole number"),
        (encoded("MeterUpdate", reading=5), "tap_name is not a text"),
        (encoded("MeterUpdate", meter_name=["a"], reading=5), "meter_name is not a text"),
        (encoded("MeterUpdate", meter_name="x" * 101, reading=5), "meter_name is not a text"),
        (encoded("MeterUpdate", meter_name="a\nb", reading=5), "meter_name is not a text"),
        (encoded("ThermoEvent", sensor_name="a", sensor_value="4"), "sensor_value is not a number"),
        (b'{"event": "ThermoEvent", "data": {"sensor_name": "a", "sensor_value": NaN}}', "sensor_value is not"),
        (b'{"event": "ThermoEvent", "data": {"sensor_name": "a", "sensor_value": 1e999}}', "sensor_value is not"),
        (encoded("FlowRequest", meter_name=METER, request="dance"), "request is none of start_flow"),
        (encoded("FlowRequest", meter_name=METER, request=["start_flow"]), "request is none of start_flow"),
    ],
)
def test_what_is_no_event_is_refused(message: bytes, why: str) -> None:
    with pytest.raises(RecordError, match=why):
        parse_event(message)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_refused(message: bytes) -> None:
    with contextlib.suppress(RecordError):
        parse_event(message)


def test_over_tcp_a_meter_is_a_tap_and_two_newlines_end_a_message() -> None:
    assert format_tcp(FLOW) == (
        b'{"event":"FlowUpdate","data":{"flow_id":7,"state":"active","username":"",'
        b'"start_time":"2026-01-01T12:00:00Z","last_activity_time":"2026-01-01T12:00:07Z","ticks":1000,'
        b'"tap_name":"kegboard.flow0"}}\n\n'
    )
    assert format_tcp(RELAY) == (
        b'{"event":"SetRelayOutputEvent","data":{"output_name":"kegboard.relay0","output_mode":"enabled"}}\n\n'
    )


@pytest.mark.parametrize("event", [FLOW, DRINK, RELAY])
def test_on_redis_it_is_the_same_indented_and_a_meter_is_one(event: Said) -> None:
    text = format_redis(event)
    assert text.count(b"\n") > 3
    data = json.loads(text)["data"]
    assert data.get("meter_name", METER) == METER
    assert "tap_name" not in data
    assert parse_event(text) == OtherEvent(type(event).__name__)


@given(st.lists(st.sampled_from([b"a", b"bc", b'{"x":1}\n']), max_size=6), st.lists(st.integers(1, 7), min_size=1))
def test_messages_are_split_in_whatever_pieces_they_come(said: list[bytes], sizes: list[int]) -> None:
    data, splitter = b"".join(one.strip() + b"\n\n" for one in said), Splitter()
    heard: list[bytes | None] = []
    turn = 0
    while data:
        size = sizes[turn % len(sizes)]
        heard += splitter.feed(data[:size])
        data, turn = data[size:], turn + 1
    assert heard == [one.strip() for one in said]


def test_a_message_without_an_end_is_told_once_and_the_next_is_read() -> None:
    splitter = Splitter()
    pieces = [b"x" * 1000] * 100 + [b"\n", b"\n", b"{}\n\n"]
    assert [one for piece in pieces for one in splitter.feed(piece)] == [None, b"{}"]
    assert splitter.feed(b"y" * (MAX_MESSAGE_BYTES + 1) + b"\n\n\n\n[]\n\n") == [None, b"[]"]


def test_of_a_message_without_an_end_no_more_is_kept_than_a_message_may_have() -> None:
    splitter, piece = Splitter(), b"x" * 10_000
    tracemalloc.start()
    try:
        for _ in range(300):
            splitter.feed(piece)
        assert tracemalloc.get_traced_memory()[0] < 4 * MAX_MESSAGE_BYTES
    finally:
        tracemalloc.stop()


def test_a_meter_has_its_board_its_number_and_the_relay_beside_it() -> None:
    assert split_meter("kegboard-0123abcd.flow1") == ("kegboard-0123abcd", 1)
    assert relay_of("kegboard-0123abcd.flow1") == "kegboard-0123abcd.relay1"
    for name in ("flow0", "a.b.flow0", "kegboard.relay0", "kegboard.flow", ".flow0", "kegboard.flow01"):
        with pytest.raises(RecordError, match="is not a meter's name"):
            split_meter(name)


WHOLE_MS = START_MS // 1000 * 1000


@pytest.mark.parametrize("form", [format_tcp, format_redis])
@pytest.mark.parametrize(
    "event",
    [
        FlowUpdate(7, METER, "active", WHOLE_MS, WHOLE_MS + 7000, 1000),
        DrinkCreatedEvent(7, 7, METER, WHOLE_MS, WHOLE_MS + 7000),
        RELAY,
        ControllerConnectedEvent("kegboard"),
        FlowRequest(METER, "stop_flow"),
        TokenAuthEvent(METER, "core.rfid", "0f01", "removed"),
    ],
)
def test_what_is_said_or_passed_on_is_read_back(
    form: Callable[[Said | PassedOn], bytes], event: Said | PassedOn
) -> None:
    assert parse_any(form(event).strip()) == event


def test_a_time_that_is_none_is_refused() -> None:
    times = {"start_time": "yesterday", "end_time": "2026-01-01T12:00:07Z"}
    with pytest.raises(RecordError, match="start_time is not a time such as"):
        parse_any(encoded("DrinkCreatedEvent", flow_id=1, drink_id=1, meter_name=METER, **times))


def test_a_relay_has_its_board_and_its_number() -> None:
    assert split_relay("kegboard-0123abcd.relay1") == ("kegboard-0123abcd", 1)
    with pytest.raises(RecordError, match="is not a relay's name"):
        split_relay(METER)
