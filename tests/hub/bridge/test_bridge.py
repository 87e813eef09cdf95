"""The bridge against a real hub and simulated BrewPis: what they show is published, what they do wrong is told once."""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kegnet_client.core.errors import ConfigError, ControllerError
from kegnet_client.core.wire import brewpi as wire
from kegnet_client.hub.bridge.exchange import ask
from kegnet_client.hub.bridge.poller import Poller
from kegnet_client.hub.domain.roles import Role
from kegnet_client.hub.home import Home
from kegnet_client.hub.store import tokens
from kegnet_client.hub.store.records import Store

from ...support.authority import Authority
from ...support.brewpi import DISPLAY, BrewPi
from ...support.server import Server
from ...support.waits import WAIT_S, wait_until
from ...support.websocket import WebSocket
from ..test_cli import run_hub

Add = Callable[..., int]
MakeBrewPi = Callable[[str], BrewPi]


@pytest.fixture
def listen(hub_url: str, hub_home: Home, trust: ssl.SSLContext) -> Iterator[Callable[..., dict[str, Any]]]:
    """``listen(channel, number or source)``: the next payload there that is of that controller."""
    headers = {"Authorization": f"Bearer {hub_home.token()}"}
    address = f"{hub_url.replace('https', 'wss')}/socket"
    with WebSocket(address, trust, headers) as connection:
        for channel in ("data", "alarms", "logs"):
            connection.send(json.dumps({"action": "subscribe", "channel": channel}))
        yield lambda channel, what: _next(connection, channel, what)


def _next(connection: WebSocket, channel: str, what: object) -> dict[str, Any]:
    until_s = time.monotonic() + WAIT_S
    heard = []
    while time.monotonic() < until_s:
        message = json.loads(connection.recv(timeout=WAIT_S))
        payload: dict[str, Any] = json.loads(message["data"])["payload"]
        parts = [payload, *payload.get("alarms", []), *payload.get("entries", [])]
        said = [str(one.get("controllerId", one.get("source"))) for one in parts]
        if message["channel"] == channel and any(re.match(rf"{what}\b", one) for one in said):
            return payload
        heard += [message] if message["channel"] == channel else []
    raise AssertionError(f"nothing of {what!r} in {heard[-3:]}")


def test_what_a_brewpi_shows_is_heard_by_who_subscribed(
    brewpi: BrewPi, add: Add, bridge_to: Any, hub_url: str, listen: Callable[..., dict[str, Any]]
) -> None:
    number = add(brewpi.entry)
    with bridge_to(hub_url):
        assert listen("data", number) == {
            "controllerId": number,
            "controllerName": "BrewPi One",
            "fridge": "65.9",
            "fridgeSet": 82.26,
            "beer": "65.1",
            "beerSet": 64.26,
            "room": "0.0",
            "status": "Idling for  17h30m55",
            "profile": "Sound Czech Pilsner",
        }
    assert brewpi.asked[:2] == [b"lcd", b"getControlSettings"]


def test_a_controller_that_is_added_later_needs_no_restart(
    make_brewpi: MakeBrewPi, add: Add, bridge_to: Any, hub_url: str, listen: Callable[..., dict[str, Any]]
) -> None:
    first = add(make_brewpi("unix").entry)
    with bridge_to(hub_url):
        listen("data", first)
        assert listen("data", add(make_brewpi("tcp").entry, "Two"))["controllerName"] == "Two"


def test_a_controller_that_is_removed_is_asked_no_more(
    make_brewpi: MakeBrewPi, add: Add, bridge_to: Any, hub_url: str, reader: httpx.Client
) -> None:
    brewpi = make_brewpi("unix")
    number = add(brewpi.entry)
    with bridge_to(hub_url) as bridge:
        brewpi.wait_for_questions(2)
        reader.delete(f"/iocontroller/{number}")
        wait_until(lambda: bridge.status() == "0 controllers", "still polled")


def test_a_value_stays_while_its_line_is_not_shown(
    make_brewpi: MakeBrewPi, add: Add, bridge_to: Any, hub_url: str, listen: Callable[..., dict[str, Any]]
) -> None:
    brewpi = make_brewpi("unix")
    number = add(brewpi.entry)
    with bridge_to(hub_url):
        while listen("data", number)["beer"] != "65.1":
            pass
        brewpi.display = [DISPLAY[0], "Room   70.2         ", DISPLAY[3]]
        while (payload := listen("data", number))["room"] == "0.0":
            pass
    assert (payload["beer"], payload["fridge"], payload["room"]) == ("65.1", "65.9", "70.2")


@pytest.mark.case(74)
@pytest.mark.parametrize("fault", ["answer_nothing", "cut", "garbage", "too much", "away"])
def test_a_controller_that_fails_is_an_alarm_once_and_holds_up_no_other(
    fault: str,
    brewpi: BrewPi,
    make_brewpi: MakeBrewPi,
    add: Add,
    bridge_to: Any,
    hub_url: str,
    listen: Callable[..., dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(connection: socket.socket, word: bytes) -> None:
        match fault:
            case "answer_nothing":
                brewpi.answer_nothing(connection, word)
            case "cut":
                connection.sendall(brewpi.document(word)[:10])
            case "garbage":
                connection.sendall(bytes(range(256)))
            case "too much":
                while True:
                    connection.sendall(b"[" * 65536)

    well = make_brewpi("unix")
    source = f"{fault} {brewpi.path is None}"
    number, other = add(brewpi.entry, source), add(well.entry, "well")
    brewpi.answer = answer
    if fault == "away":
        brewpi.close()
    with bridge_to(hub_url):
        listen("alarms", source)
        asked = len(well.asked)
        well.wait_for_questions(asked + 20)
        assert listen("data", other)["beer"] == "65.1"
        if fault != "away":
            brewpi.answer, brewpi.settings = brewpi.answer_well, {"mode": "o"}
            brewpi.released.set()
            assert listen("logs", source)["entries"][0]["msg"] == "answers again"
            assert listen("data", number)["beer"] == "65.1"
    lines = [one.getMessage() for one in caplog.records if one.getMessage().startswith(source)]
    assert len([line for line in lines if line.endswith("the other controllers go on")]) == 1
    assert lines[1:] == ([] if fault == "away" else [f"{source}: answers again"])


@pytest.mark.case(74)
def test_a_silence_is_told_at_its_beginning_and_at_its_end_alone(make_brewpi: MakeBrewPi) -> None:
    brewpi = make_brewpi("unix")
    published: list[str] = []
    poller = Poller(
        wire.Controller(1, "", **brewpi.entry), lambda channel, _number, _payload: published.append(channel)
    )
    for answer in (brewpi.answer_well, brewpi.close_at_once, brewpi.close_at_once, brewpi.answer_well):
        brewpi.answer = answer
        poller.poll()
    assert published == ["data", "alarms", "logs", "data"]


@pytest.mark.case(75)
def test_an_alarm_is_in_the_language_of_the_hub(
    make_brewpi: MakeBrewPi,
    add: Add,
    bridge_to: Any,
    hub_url: str,
    reader: httpx.Client,
    listen: Callable[..., dict[str, Any]],
) -> None:
    brewpi = make_brewpi("unix")
    brewpi.close()
    add(brewpi.entry, "stumm")
    before = reader.get("/api/settings").json()
    reader.put("/api/settings", json={**before, "language": "de"}).raise_for_status()
    try:
        with bridge_to(hub_url):
            alarm = listen("alarms", "stumm")
    finally:
        reader.put("/api/settings", json=before).raise_for_status()
    assert "keine Verbindung zu" in json.dumps(alarm, ensure_ascii=False)


def test_an_answer_that_is_split_or_long_or_late_is_taken_whole(brewpi: BrewPi) -> None:
    brewpi.answer = brewpi.answer_in_pieces
    controller = wire.Controller(1, "", **brewpi.entry)
    assert ask(controller, wire.LCD) == brewpi.document(wire.LCD)
    brewpi.settings = {"mode": "o", "beerSet": 154.5, "more": "x" * 20_000}
    assert wire.parse_settings(ask(controller, wire.SETTINGS)) == wire.Settings(beer=154.5)


@pytest.mark.case(74)
def test_one_that_dribbles_is_cut_off_at_the_deadline(brewpi: BrewPi) -> None:
    def dribble(connection: socket.socket, _word: bytes) -> None:
        while not brewpi.released.wait(0.02):
            connection.sendall(b"[")

    brewpi.answer = dribble
    with pytest.raises(ControllerError, match=r"no whole answer within 0\.3 s"):
        ask(wire.Controller(1, "", **brewpi.entry), wire.LCD, 0.3)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({}, "neither a socket nor an address with a port"),
        ({"address": "localhost", "port": "70000"}, "whole number from 1 to 65535"),
        ({"address": "a" * 80 + ".", "port": "1"}, "no connection to aaaa"),
        ({"address": "x\0y", "port": "1"}, "no connection to x"),
        ({"socket": "/nonexistent/socket"}, "No such file"),
        ({"socket": "/x" * 200}, "no connection to /x/x"),
        ({"socket": "a\0b"}, "no connection to a"),
    ],
)
def test_an_entry_that_leads_nowhere_is_named(entry: dict[str, str], reason: str) -> None:
    with pytest.raises(ControllerError, match=reason) as caught:
        ask(wire.Controller(1, "", **entry), wire.LCD, 1)
    assert str(caught.value).isprintable()


@pytest.mark.case(76)
def test_what_waits_for_a_hub_that_is_away_is_the_newest_of_each_controller(
    make_link: Callable[[str, str], Any], server: Server, authority: Authority
) -> None:
    link = make_link(f"https://localhost:{server.port}", "token")
    server.answer = lambda _: 503
    for beer in ("65.1", "65.2"):
        link.publish("data", 1, {"beer": beer})
    with pytest.raises(Exception, match="it answered 503"):
        link.send()
    for number, beer in ((1, "65.3"), (2, "40.0")):
        link.publish("data", number, {"beer": beer})
    seen = len(server.calls("publish"))
    server.answer = lambda _: 200
    assert link.send() == 2
    said = [json.loads(call.fields["data"])["payload"]["beer"] for call in server.calls("publish")[seen:]]
    assert said == ["65.3", "40.0"]


@pytest.mark.case(76)
def test_a_refused_message_is_dropped_and_a_refused_token_drops_nothing(
    make_link: Callable[[str, str], Any], server: Server
) -> None:
    link = make_link(f"https://localhost:{server.port}", "token")
    link.publish("data", 1, {"beer": "1.0"})
    server.answer = lambda _: 401
    with pytest.raises(Exception, match="hub token make bridge --role operate"):
        link.send()
    server.answer = lambda _: 404
    with pytest.raises(Exception, match="it answered 404"):
        link.send()
    server.answer = lambda _: 200
    assert link.send() == 0


@pytest.mark.case(76)
def test_a_hub_that_is_another_one_hears_nothing(
    add: Add, make_brewpi: MakeBrewPi, bridge_to: Any, hub_url: str, authority: Authority, tmp_path: Path
) -> None:
    number = add(make_brewpi("unix").entry)
    assert number
    with bridge_to(hub_url, authority.bundle) as bridge:
        wait_until(lambda: "unknown CA" in bridge.status() or "not in caBundle" in bridge.status(), "trusted")


def test_a_bridge_needs_no_more_of_the_hub_than_its_certificates_and_a_token_that_may_operate(
    hub_home: Home, hub_url: str, hub_store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ca.crt", "server.crt"):
        (tmp_path / name).write_bytes((hub_home.directory / name).read_bytes())
    (tmp_path / "token").write_text("absent\n")
    command = ("bridge", "--once", "--dir", str(tmp_path), "--hub", hub_url)
    with pytest.raises(ConfigError, match=r"hub token make bridge --role operate > /var/lib/kegnet-hub/bridge.token"):
        run_hub(*command)
    token = hub_store.write(lambda connection: tokens.make(connection, "a bridge", Role.OPERATE, 0))
    (tmp_path / "token").write_text(token)
    assert run_hub(*command) == 0
    assert "0 messages published" in capsys.readouterr().out
