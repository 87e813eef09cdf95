"""What a BrewPi says becomes what is published of it, or one clear error."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.errors import ControllerError
from kegnet_client.core.wire import brewpi

ONE = brewpi.Controller(1, "BrewPi One", socket="/run/brewpi/socket")
LINES = ["Mode   Off          ", "Beer   65.1  --.- &degF", "Fridge 65.9  --.- &degF", "Idling for  17h30m55"]
SETTINGS = {"mode": "p", "beerSet": 64.26, "fridgeSet": 82.26, "profile": "Sound Czech Pilsner", "heatEst": 1}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*SETTINGS]), inner),
    max_leaves=10,
)
replies = st.binary() | json_values.map(lambda value: json.dumps(value).encode())


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_the_worked_example_is_published_to_the_letter() -> None:
    display = brewpi.parse_display(encoded(LINES))
    payload = brewpi.data_payload(ONE, display.values, display.status, brewpi.parse_settings(encoded(SETTINGS)))
    form = brewpi.publication("data", payload)
    assert form.startswith(
        b"channel=data&data=%7B%22channel%22%3A+%22data%22%2C+%22payload%22%3A+%7B%22controllerId%22"
    )
    assert parse_qs(form.decode())["data"] == [
        '{"channel": "data", "payload": {"controllerId": 1, "controllerName": "BrewPi One", "fridge": "65.9", '
        '"fridgeSet": 82.26, "beer": "65.1", "beerSet": 64.26, "room": "0.0", "status": "Idling for  17h30m55", '
        '"profile": "Sound Czech Pilsner"}}'
    ]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Beer   65.1  --.- F", {"Beer": "65.1"}),
        ("Beer  154.5 156.0 F", {"Beer": "154.5"}),
        ("Fridge100.0 101.5 F", {"Fridge": "100.0"}),
        ("Fridge-10.5  --.- C", {"Fridge": "-10.5"}),
        ("Room   -0.5        ", {"Room": "-0.5"}),
        ("Room    4.0        ", {"Room": "4.0"}),
        ("Beer   --.-  --.- C", {"Beer": "--.-"}),
        ("Beer   65.1 \u00b0C", {"Beer": "65.1"}),
        ("Mode   Beer Const.", {}),
    ],
)
def test_a_value_is_whole_whatever_its_size(line: str, shown: dict[str, str]) -> None:
    assert brewpi.parse_display(json.dumps([line, "Idling"], ensure_ascii=False).encode("latin-1")).values == shown


def test_a_value_that_was_never_shown_is_zero_and_a_profile_is_named_in_profile_mode_alone() -> None:
    settings = brewpi.parse_settings(encoded({**SETTINGS, "mode": "b", "beerSet": None}))
    payload = brewpi.data_payload(ONE, {}, "", settings)
    assert (payload["beer"], payload["fridge"], payload["room"], payload["beerSet"]) == ("0.0", "0.0", "0.0", None)
    assert "profile" not in payload


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "without an answer"),
        (b'["Beer  ', "not one whole JSON document"),
        (b"[" * 60_000, "not one whole JSON document"),
        (b"{}", "not 1 to 20 lines"),
        (b"[]", "not 1 to 20 lines"),
        (encoded(["x"] * 21), "not 1 to 20 lines"),
        (encoded(["Beer   \x1b[2J", "x"]), r"no temperature in 'Beer   ?\[2J'"),
        (encoded(["Beer 1234.5", "x"]), "no temperature"),
    ],
)
def test_what_is_no_display_is_named(reply: bytes, reason: str) -> None:
    with pytest.raises(ControllerError, match=reason.replace("?", r"\?")):
        brewpi.parse_display(reply)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mode": None}, "a mode"),
        ({"beerSet": "64"}, "beerSet is no temperature"),
        ({"fridgeSet": True}, "fridgeSet is no temperature"),
        ({"beerSet": 10**400}, "beerSet is no temperature"),
        ({"beerSet": float("nan")}, "not one whole JSON document"),
        ({"profile": 7}, "no profile as text"),
    ],
)
def test_what_are_no_settings_is_named(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ControllerError, match=reason):
        brewpi.parse_settings(encoded({**SETTINGS, **change}))


def test_an_infinite_set_point_is_named() -> None:
    with pytest.raises(ControllerError, match="beerSet is no temperature"):
        brewpi.parse_settings(b'{"mode": "p", "beerSet": 1e999}')


@given(replies)
def test_whatever_comes_is_a_value_or_one_clear_error(reply: bytes) -> None:
    brewpi.is_whole(reply)
    for parse in (brewpi.parse_display, brewpi.parse_settings):
        said = ""
        try:
            parse(reply)
        except ControllerError as error:
            said = str(error)
        assert said.isprintable()


@given(st.lists(st.text(), min_size=1, max_size=20), st.dictionaries(st.sampled_from([*SETTINGS]), json_values))
def test_what_is_published_can_be_read_again(lines: list[str], settings: dict[str, Any]) -> None:
    try:
        display = brewpi.parse_display(encoded(lines))
        payload = brewpi.data_payload(ONE, display.values, display.status, brewpi.parse_settings(encoded(settings)))
    except ControllerError:
        return
    (data,) = parse_qs(brewpi.publication("data", payload).decode(), strict_parsing=True)["data"]
    assert json.loads(data, parse_constant=pytest.fail) == {"channel": "data", "payload": payload}
    assert display.status.isprintable()


@given(st.integers(0, 9999))
def test_a_temperature_between_the_display_s_bounds_comes_through_unchanged(tenths: int) -> None:
    value = f"{tenths / 10:.1f}"
    line = f"Fridge{value:>5} --.- F"
    assert brewpi.parse_display(encoded([line, ""])).values == {"Fridge": value}


@pytest.mark.parametrize("cut", range(1, len(encoded(SETTINGS))))
def test_a_document_is_whole_at_its_end_and_not_before(cut: int) -> None:
    assert not brewpi.is_whole(encoded(SETTINGS)[:cut])
    assert brewpi.is_whole(encoded(SETTINGS) + b"\n")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"controllers": 1}',
        b'{"controllers": [{"id": 1}]}',
        encoded({"controllers": [{"id": "1", "name": "", "address": "", "port": "", "socket": ""}]}),
        encoded({"controllers": [{"id": 1, "name": "", "address": "", "port": "", "socket": ""}] * 2}),
        encoded({"controllers": [{"id": n, "name": "", "address": "", "port": "", "socket": ""} for n in range(65)]}),
    ],
)
def test_what_is_no_list_of_controllers_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"no list|no number|more than"):
        brewpi.parse_controllers(body)


def test_a_list_of_too_many_controllers_is_refused_whole() -> None:
    one = {"name": "", "address": "", "port": "", "socket": ""}
    controllers = [{"id": number, **one} for number in range(brewpi.MAX_CONTROLLERS + 1)]
    with pytest.raises(ValueError, match="more than"):
        brewpi.parse_controllers(json.dumps({"controllers": controllers}).encode())
    assert len(brewpi.parse_controllers(json.dumps({"controllers": controllers[1:]}).encode())) == len(controllers) - 1


def test_a_port_is_a_number_that_there_is() -> None:
    assert [brewpi.parse_port(text) for text in ("1", "1234", "65535")] == [1, 1234, 65535]
    for text in ("", "0", "65536", "-1", "x", "9999999999999999"):
        with pytest.raises(ControllerError, match="from 1 to 65535"):
            brewpi.parse_port(text)


def test_what_is_wrong_with_a_controller_is_told_with_its_source_and_code() -> None:
    told = {"source": "One", "code": brewpi.COMMUNICATION_ERROR, "msg": "silent"}
    assert brewpi.alarm_payload("One", "silent") == {"alarms": [told]}
    assert brewpi.log_payload("One", "silent") == {"entries": [told]}


@pytest.mark.parametrize("reply", [b"[1, 2", b"{]}", b'{"a": 1]}', b"[[]"])
def test_a_reply_that_only_looks_whole_is_not(reply: bytes) -> None:
    assert not brewpi.is_whole(reply)
