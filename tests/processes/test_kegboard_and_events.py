"""A Kegboard's tokens, flows and relays, and the local events: two producers, each a process, and other programs."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from kegnet_client.core.records import Pour, parse
from kegnet_client.demo.kegboard_pty import KegboardPty
from kegnet_client.demo.simulated_kegboard import SimulatedBoard

from ..support import redis_server
from ..support.device import Device
from ..support.program import Program
from ..support.waits import WAIT_S, wait_until

METER = "bar.flow1"
KEGBOARD = "\n[Kegboard bar]\ndevice = {device}\npin = 4\nidle = 60\n"
"""Longer than is waited here: nothing but a request ends a pour."""
TOKEN = bytes.fromhex("3df7e6d5c4b3a201")[::-1]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[KegboardPty]:
    board = KegboardPty(SimulatedBoard(time.monotonic()), tmp_path / "ttyUSB0")
    yield board
    board.close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        found: int = one.getsockname()[1]
    return found


@pytest.fixture
def device(device: Device, board: KegboardPty, port: int, tmp_path: Path) -> Device:
    file = device.root / "conf" / "client.conf"
    text = file.read_text().replace("[LocalEvents]\n", f"[LocalEvents]\nport = {port}\nidle = 1\n")
    file.write_text(text + KEGBOARD.format(device=tmp_path / "ttyUSB0"))
    return device


@pytest.fixture
def events(device: Device, port: int) -> Program:
    program = device.start("local-events")

    def listens() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return False
        return True

    wait_until(listens, "it does not listen")
    return program


@pytest.fixture
def kegboard(events: Program, device: Device) -> Program:
    program = device.start("kegboard", "--verbose")
    program.log.wait_for("bar: local events hear of this board")
    return program


@pytest.fixture
def hear(kegboard: Program, port: int) -> Iterator[Callable[[str], dict[str, Any]]]:
    """The next event of a name that a program over TCP is told."""
    rest = [b""]
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:

        def next_of(name: str) -> dict[str, Any]:
            while True:
                message, end, left = rest[0].partition(b"\n\n")
                if not end:
                    rest[0] += connection.recv(65536)
                    continue
                rest[0] = left
                if (found := json.loads(message))["event"] == name:
                    data: dict[str, Any] = found["data"]
                    return data

        yield next_of


def ask(port: int, request: str) -> None:
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:
        data = {"tap_name": METER, "request": request}
        connection.sendall(json.dumps({"event": "FlowRequest", "data": data}).encode() + b"\n\n")


def pours(device: Device) -> list[tuple[int, int]]:
    records = [parse(name, (device.spool / name).read_bytes()) for name in device.waiting()]
    return [(one.pin, one.pulses) for one in records if isinstance(one, Pour)]


def flow(board: KegboardPty, kegboard: Program, pulses: int) -> None:
    """Let the meter flow1 give so many pulses, and wait until they are counted."""
    total = board.totals[1] + pulses
    board.pour(1, pulses, 1000)
    kegboard.log.wait_for(f"<MeterStatusMessage: meter_name=flow1 meter_reading={total}>")


def test_programs_hear_what_flows_at_a_board_and_the_pour_is_recorded_once(
    device: Device, board: KegboardPty, kegboard: Program, hear: Callable[[str], dict[str, Any]], port: int
) -> None:
    flow(board, kegboard, 400)
    while (update := hear("FlowUpdate"))["ticks"] < 400:
        pass
    assert (update["tap_name"], update["state"]) == (METER, "active")
    ask(port, "stop_flow")
    assert hear("DrinkCreatedEvent")["tap_name"] == METER
    assert hear("FlowUpdate")["state"] == "completed"
    wait_until(lambda: pours(device) == [(5, 400)], lambda: pours(device))


def test_a_relay_of_a_board_is_on_from_a_request_until_nothing_flows(
    device: Device, board: KegboardPty, kegboard: Program, hear: Callable[[str], dict[str, Any]], port: int
) -> None:
    ask(port, "start_flow")
    wait_until(lambda: board.outputs == {1}, "the relay is not on")
    flow(board, kegboard, 3000)  # longer than a relay stays on where nothing flows
    assert board.outputs == {1}
    ask(port, "stop_flow")
    wait_until(lambda: board.outputs == set(), "the relay stays on")
    assert hear("SetRelayOutputEvent") == {"output_name": "bar.relay1", "output_mode": "enabled"}


def test_a_token_that_is_taken_from_a_board_ends_what_flows_there(
    device: Device, board: KegboardPty, events: Program, kegboard: Program
) -> None:
    flow(board, kegboard, 1)
    board.show_token("onewire", TOKEN, is_there=True)
    events.log.wait_for("Token added: 'core.onewire':'3df7e6d5c4b3a201' at '__all_taps__'")
    flow(board, kegboard, 500)
    board.show_token("onewire", TOKEN, is_there=False)
    events.log.wait_for("Token removed: 'core.onewire'")
    wait_until(lambda: pours(device) in ([(5, 500)], [(5, 501)]), lambda: pours(device))


def test_a_token_is_told_once_on_the_redis_channel(device: Device, board: KegboardPty, tmp_path: Path) -> None:
    with redis_server.running(tmp_path) as there, redis.Redis.from_url(there.url) as server:
        file = device.root / "conf" / "client.conf"
        file.write_text(file.read_text().replace("[LocalEvents]\n", f"[LocalEvents]\nredis = {there.url}\n"))
        events = device.start("local-events")
        wait_until(lambda: server.pubsub_numsub("kegnet")[0][1] == 1, "it does not listen there")
        with server.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe("kegnet")
            device.start("kegboard").log.wait_for("bar: local events hear of this board")
            board.show_token("core.rfid", b"\x7a\xf0\x84\x01\x0f", is_there=True)
            heard: list[dict[str, Any]] = []
            until_s = time.monotonic() + WAIT_S
            while not any(one["event"] == "TokenAuthEvent" for one in heard) and time.monotonic() < until_s:
                if found := channel.get_message(timeout=0.5):
                    heard.append(json.loads(found["data"]))
        assert [one["event"] for one in heard] == ["ControllerConnectedEvent", "TokenAuthEvent"]
        assert heard[0]["data"] == {"controller_name": "bar"}
        assert heard[1]["data"] == {
            "meter_name": "__all_taps__",
            "auth_device_name": "core.rfid",
            "token_value": "0f0184f07a",
            "status": "added",
        }
        board.show_token("core.rfid", b"\x7a\xf0\x84\x01\x0f", is_there=False)
        events.log.wait_for("Token removed")
        assert len(events.log.lines("Token added")) == 1


@pytest.mark.case(140)
def test_local_events_that_end_and_start_hold_up_no_board(
    device: Device, board: KegboardPty, events: Program, kegboard: Program
) -> None:
    flow(board, kegboard, 1)
    assert events.stop()[0] == 0
    board.show_token("onewire", TOKEN, is_there=True)
    flow(board, kegboard, 300)
    again = device.start("local-events")
    board.reset()  # it says hello then, as it does every ten seconds
    kegboard.log.wait_for("local events hear of this board", 2)
    board.show_token("onewire", TOKEN, is_there=False)
    again.log.wait_for("Token removed")
    assert kegboard.process.poll() is None
