"""Clients that were written for Maelstrom in 2014 work with the hub, and what harmed its server harms nobody here."""

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kegnet_client.hub import bus
from kegnet_client.hub.home import Home

from ...support.waits import WAIT_S
from ...support.websocket import WebSocket

Connect = Callable[..., WebSocket]

# The body that the bridge of 2014 posts, as its reference has it.
PAYLOAD = {
    "controllerId": 1,
    "controllerName": "BrewPi One",
    "fridge": "65.9",
    "fridgeSet": 82.26,
    "beer": "65.1",
    "beerSet": 64.26,
    "room": "0.0",
    "status": "Idling for  17h30m55",
    "profile": "Sound Czech Pilsner",
}
DATA = json.dumps({"channel": "data", "payload": PAYLOAD})


@pytest.fixture
def open_socket(hub_url: str, hub_home: Home, trust: ssl.SSLContext) -> Iterator[Connect]:
    """``open_socket("data")``: a websocket that has subscribed these channels."""

    def make(*channels: str, token: str | None = None, origin: Any = None) -> WebSocket:
        socket = stack.enter_context(
            WebSocket(
                f"{hub_url.replace('https', 'wss')}/socket",
                trust,
                {"Authorization": f"Bearer {token or hub_home.token()}"},
                origin=origin,
            )
        )
        for channel in channels:
            socket.send(json.dumps({"action": "subscribe", "channel": channel}))
        settle(socket)
        return socket

    with ExitStack() as stack:
        yield make


def settle(socket: WebSocket) -> None:
    """Until all that was sent is acted upon; what was received meanwhile is dropped."""
    socket.send(json.dumps({"action": "ping", "channel": "_heartbeat"}))
    while receive(socket)["channel"] != "_heartbeat":
        pass


def receive(socket: WebSocket) -> dict[str, Any]:
    """The next message, with its text decoded."""
    message = json.loads(socket.recv(timeout=WAIT_S))
    assert set(message) == {"channel", "data"}
    return {"channel": message["channel"], "data": json.loads(message["data"])}


def publish(reader: httpx.Client, channel: str, data: str) -> httpx.Response:
    return reader.post("/publish", data={"channel": channel, "data": data})


def test_what_is_published_is_passed_on_unchanged_to_who_has_subscribed(
    reader: httpx.Client, open_socket: Connect
) -> None:
    one, other, third = open_socket("data"), open_socket("data", "data"), open_socket("logs")
    answer = publish(reader, "data", DATA)
    assert (answer.status_code, answer.text) == (200, "Posted")
    for socket in (one, other):
        message = json.loads(socket.recv(timeout=WAIT_S))
        assert message == {"channel": "data", "data": DATA}
    for socket in (other, third):  # once, however often it was subscribed; and nothing of other channels
        socket.send('{"action": "ping", "channel": "_heartbeat"}')
        assert receive(socket) == {"channel": "_heartbeat", "data": {"payload": {"action": "pong"}}}


def test_who_unsubscribes_hears_no_more_and_may_do_so_twice(reader: httpx.Client, open_socket: Connect) -> None:
    socket = open_socket("chart")
    for _ in range(2):
        socket.send('{"action": "unsubscribe", "channel": "chart"}')
    settle(socket)
    publish(reader, "chart", "1")
    settle(socket)


def test_a_late_subscriber_gets_the_last_value_of_each_controller(reader: httpx.Client, open_socket: Connect) -> None:
    for number in (7, 8):
        for beer in ("1.0", "2.0"):
            payload = {**PAYLOAD, "controllerId": number, "beer": beer}
            publish(reader, "data", json.dumps({"channel": "data", "payload": payload}))
    publish(reader, "data", "no JSON")
    socket = open_socket()
    socket.send('{"action": "subscribe", "channel": "data"}')
    found: dict[int, str] = {}
    while not {7, 8} <= set(found):
        payload = receive(socket)["data"]["payload"]
        assert payload["controllerId"] not in found
        found[payload["controllerId"]] = payload["beer"]
    assert (found[7], found[8]) == ("2.0", "2.0")
    settle(socket)
    assert reader.get("/iocontrollers").status_code == 200
    again = {receive(socket)["data"]["payload"]["controllerId"] for _ in range(2)}
    assert again


def test_a_late_subscriber_gets_the_last_log_lines(reader: httpx.Client, open_socket: Connect) -> None:
    for number in range(3):
        publish(reader, "logs", json.dumps({"channel": "logs", "payload": {"entries": [{"msg": number}]}}))
    socket = open_socket()
    socket.send('{"action": "subscribe", "channel": "logs"}')
    seen: list[object] = []
    while 2 not in seen:
        seen.append(receive(socket)["data"]["payload"]["entries"][0]["msg"])
    assert seen[-3:] == [0, 1, 2]


@pytest.mark.parametrize("channel", ["_profiles", "pours", "", "UPPER", "a b", "x" * 65, "-x", "taps"])
def test_what_is_the_hubs_own_or_no_channel_is_refused_with_those_there_are(reader: httpx.Client, channel: str) -> None:
    answer = publish(reader, channel, "{}")
    assert answer.status_code in (404, 422)
    if channel:
        assert "data, logs, alarms" in answer.text


@pytest.mark.parametrize("form", [{"channel": "data"}, {"data": "x"}, {}, {"channel": "data", "data": "x" * 70_000}])
def test_a_publication_without_its_fields_is_a_4xx(reader: httpx.Client, form: dict[str, str]) -> None:
    assert reader.post("/publish", data=form).status_code == 422


def test_nobody_publishes_without_a_token(web: httpx.Client) -> None:
    assert web.post("/publish", data={"channel": "data", "data": "x"}).status_code == 401


def test_settings_are_kept_one_by_one_or_as_a_list(reader: httpx.Client, open_socket: Connect) -> None:
    socket = open_socket("_appsettings")
    logo = {"name": "breweryLogo", "value": "s/img/logo-777.png"}
    assert reader.post("/appsettings", json=[logo, {"name": "themeStylesheet"}]).json() == {"status": "success"}
    message = receive(socket)
    assert message["channel"] == "_appsettings"
    assert message["data"]["payload"]["eventType"] == "change"
    assert logo in message["data"]["payload"]["settings"]
    assert reader.post("/appsettings", json={"name": "themeStylesheet", "value": "dark"}).status_code == 200
    kept = reader.get("/appsettings").json()["appsettings"]
    assert logo in kept
    assert {"name": "themeStylesheet", "value": "dark"} in kept


def test_a_profile_is_made_read_changed_and_ended(reader: httpx.Client, open_socket: Connect) -> None:
    socket = open_socket("_profiles")
    made = reader.post("/profiles", json={"name": "Ale", "type": "", "temperatures": [], "events": []}).json()
    assert made["status"] == "success"
    number = made["id"]
    assert receive(socket)["data"]["payload"]["eventType"] == "create"
    sent = {
        "id": number,
        "name": "Ale",
        "type": "Fermentation",
        "temperatures": [
            {"days": "7", "temperature": "65", "date": "2026-01-08T00:00:00", "what": 1},
            {"days": "0", "temperature": "69.5", "date": "2026-01-01T00:00:00"},
        ],
    }
    assert reader.post(f"/profile/{number}", json=sent).json() == {"status": "success", "id": number}
    change = receive(socket)["data"]["payload"]
    assert (change["eventType"], change["profile"]["type"]) == ("update", "Fermentation")
    profile = reader.get(f"/profile/{number}").json()["profile"]
    assert profile["temperatures"] == [
        {"days": 0, "temperature": 69.5, "date": "", "profileId": number},
        {"days": 7, "temperature": 65, "date": "", "profileId": number},
    ]
    run = {"profile": number, "sensor": "28-0000057fa1b2", "started_ms": 1_700_000_000_000}
    assert reader.post("/api/runs", json=run).status_code == 201
    dates = [one["date"] for one in reader.get(f"/profile/{number}").json()["profile"]["temperatures"]]
    assert dates == ["2023-11-14T22:13:20", "2023-11-21T22:13:20"]
    assert reader.post(f"/profile/{number}", json={"name": "Pale"}).status_code == 200
    assert len(reader.get(f"/profile/{number}").json()["profile"]["temperatures"]) == 2
    assert any(one["id"] == number for one in reader.get("/profiles").json()["profiles"])
    assert reader.delete(f"/profile/{number}").json() == {"status": "success"}
    assert reader.get(f"/profile/{number}").status_code == 404
    assert all(one["id"] != number for one in reader.get("/profiles").json()["profiles"])


def test_the_steps_of_a_simulated_profile_are_kept(reader: httpx.Client) -> None:
    points = list(zip((0, 7, 7, 12, 12, 14, 21), (69, 65, 66, 66, 65, 69, 70), strict=True))
    sent = [{"days": day, "temperature": temperature} for day, temperature in points]
    number = reader.post("/profiles", json={"name": "Ale", "type": "Fermentation", "temperatures": sent}).json()["id"]
    kept = reader.get(f"/profile/{number}").json()["profile"]["temperatures"]
    assert [(one["days"], one["temperature"]) for one in kept] == points


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ([], "object"),
        ({"temperatures": [{"days": "NaN", "temperature": "1"}]}, "days"),
        ({"temperatures": [{"days": "0", "temperature": "1e999"}]}, "temperature"),
        ({"temperatures": [{"days": "0", "temperature": ""}]}, "temperature"),
        ({"temperatures": [{"days": 1, "temperature": 1}, {"days": 1, "temperature": 1}]}, "again"),
        ({"temperatures": 5}, "temperatures"),
        ({"name": "x" * 200}, "name"),
    ],
)
def test_what_cannot_be_meant_is_named(reader: httpx.Client, sent: object, named: str) -> None:
    answer = reader.post("/profiles", json=sent)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]


def test_a_controller_is_made_with_a_name_and_an_address_alone(reader: httpx.Client, open_socket: Connect) -> None:
    socket = open_socket("_iocontrollers")
    number = reader.post("/iocontrollers", json={"name": "BrewPi One", "address": "localhost"}).json()["id"]
    controller = {"id": number, "name": "BrewPi One", "address": "localhost", "port": "", "socket": ""}
    assert receive(socket)["data"]["payload"] == {"eventType": "create", "controller": controller}
    assert reader.post(f"/iocontroller/{number}", json={"port": 1234, "id": 99}).status_code == 200
    assert {**controller, "port": "1234"} in reader.get("/iocontrollers").json()["controllers"]
    assert reader.get(f"/iocontroller/{number}").json()["controller"]["chambers"] == []
    assert reader.delete(f"/iocontroller/{number}").status_code == 200
    assert reader.post(f"/iocontroller/{number}", json={}).status_code == 404


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"action": "dance"}', '{"action": "subscribe", "channel": 5}', "[" * 60_000]
)
def test_what_is_not_understood_is_ignored(open_socket: Connect, text: str) -> None:
    socket = open_socket()
    socket.send(text)
    settle(socket)


def closes(socket: WebSocket) -> int | None:
    try:
        while True:
            socket.recv(timeout=WAIT_S)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def test_one_that_floods_sends_binary_or_subscribes_too_much_is_closed_and_harms_nobody(
    reader: httpx.Client, open_socket: Connect
) -> None:
    good = open_socket("lcd")
    floods, binary, many, large = (open_socket() for _ in range(4))
    with suppress(ConnectionClosed):
        for _ in range(300):
            floods.send('{"action": "dance"}')
    assert closes(floods) == 1008
    binary.send(b"\x00")
    assert closes(binary) == 1003
    with suppress(ConnectionClosed):
        for number in range(101):
            many.send(json.dumps({"action": "subscribe", "channel": f"c{number}"}))
    assert closes(many) == 1008
    large.send("x" * 100_000)
    assert closes(large) == 1009
    publish(reader, "lcd", '"on"')
    assert receive(good)["data"] == "on"


def test_a_socket_opens_with_a_token_and_from_a_page_of_the_hubs_own(open_socket: Connect, hub_url: str) -> None:
    open_socket(origin=hub_url)
    for options in ({"token": "wrong"}, {"origin": "https://evil.example"}):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(**options)
        assert refused.value.response.status_code == 403


def test_one_socket_too_many_is_told_to_try_again(open_socket: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "MAX_CLIENTS", 0)
    with pytest.raises(ConnectionClosed) as closed:
        open_socket()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013
