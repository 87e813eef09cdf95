"""Kegbot's sensor programs, as they were written for its core, deliver pours without knowing whom they talk to."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from signal import Signals
from typing import Any

import pytest
import redis

from kegnet_client.core.records import Pour, Reading, Record, parse
from kegnet_client.core.wire.local_events import MAX_MESSAGE_BYTES
from kegnet_client.producers.local_clients import MAX_CLIENTS

from ..support import redis_server
from ..support.device import Device
from ..support.program import Program
from ..support.redis_server import RedisServer
from ..support.server import Server
from ..support.waits import WAIT_S, wait_until

METER = "kegboard.flow0"
SENSOR_PROGRAM = """
# What a user of Kegbot 1.0 had beside its core: a meter on a board of his own.
import json, socket, sys, time

core = socket.create_connection(("localhost", int(sys.argv[1])))

def publish(event, **data):
    core.sendall(json.dumps({"event": event, "data": data}, separators=(",", ":")).encode() + b"\\n\\n")

for reading in range(1000, 1601, 100):
    publish("MeterUpdate", tap_name="kegboard.flow1", reading=reading)
    time.sleep(0.25)
publish("ThermoEvent", sensor_name="thermo-7c0000009b596628", sensor_value=3.875)
rest = b""
while b"DrinkCreatedEvent" not in rest:
    rest += core.recv(65536)
for message in rest.split(b"\\n\\n")[:-1]:
    print(message.decode(), flush=True)
"""
REDIS_PROGRAM = """
# The same for Kegbot 1.3, on its Redis channel.
import json, sys, time, redis

channel = redis.Redis.from_url(sys.argv[1])
for reading in range(1000, 1601, 100):
    event = {"event": "MeterUpdate", "data": {"meter_name": "kegboard.flow1", "reading": reading}}
    channel.publish("kegnet", json.dumps(event, indent=2))
    time.sleep(0.25)
"""


def configure(device: Device, *lines: str) -> None:
    file = device.root / "conf" / "client.conf"
    head, header, tail = file.read_text().partition("[LocalEvents]\n")
    assert header
    file.write_text(head + header + "\n".join(lines) + tail)


class Core:
    """The producer that stands in for Kegbot's core."""

    def __init__(self, device: Device, port: int, *lines: str, idle_s: int = 1) -> None:
        self.device = device
        self.port = port
        configure(device, f"port = {port}", f"idle = {idle_s}", *lines)
        self.program = self.start()

    def start(self) -> Program:
        self.program = self.device.start("local-events")
        wait_until(self._listens, "it does not listen")
        return self.program

    def connect(self) -> socket.socket:
        return socket.create_connection(("localhost", self.port), WAIT_S)

    def records(self) -> list[Record]:
        return [parse(name, (self.device.spool / name).read_bytes()) for name in self.device.waiting()]

    def pours(self) -> list[tuple[int, int]]:
        return [(one.pin, one.pulses) for one in self.records() if isinstance(one, Pour)]

    def _listens(self) -> bool:
        assert self.program.process.poll() is None
        try:
            self.connect().close()
        except OSError:
            return False
        return True


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        found: int = one.getsockname()[1]
    return found


@pytest.fixture
def core(device: Device, port: int) -> Core:
    return Core(device, port)


@pytest.fixture
def redis_there(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server.running(tmp_path) as server:
        yield server


def update(reading: int, meter: str = METER) -> bytes:
    return json.dumps({"event": "MeterUpdate", "data": {"meter_name": meter, "reading": reading}}).encode() + b"\n\n"


def hear(connection: socket.socket, name: str) -> dict[str, Any]:
    """The next event of that name which is told."""
    said = b""
    while True:
        said += connection.recv(65536)
        for message in said.split(b"\n\n")[:-1]:
            found = json.loads(message)
            if found["event"] == name:
                data: dict[str, Any] = found["data"]
                return data


def test_a_sensor_program_of_kegbot_delivers_its_pour_and_hears_of_it(core: Core) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SENSOR_PROGRAM, str(core.port)],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
    )
    heard = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["event"] for one in heard} >= {"FlowUpdate", "DrinkCreatedEvent"}
    updates = [one["data"] for one in heard if one["event"] == "FlowUpdate"]
    assert {one["tap_name"] for one in updates} == {"kegboard.flow1"}
    assert len({one["flow_id"] for one in updates}) == 1
    wait_until(lambda: core.pours() == [(1, 600)], core.pours)
    (pour,) = (one for one in core.records() if isinstance(one, Pour))
    assert 1000 <= pour.elapsed_ms <= 10_000
    assert any(isinstance(one, Reading) and one.millidegrees == 3875 for one in core.records())


def test_another_one_on_the_redis_channel_does_too(device: Device, port: int, redis_there: RedisServer) -> None:
    core = Core(device, port, f"redis = {redis_there.url}")
    with redis.Redis.from_url(redis_there.url) as server, server.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe("kegnet")
        wait_until(lambda: server.pubsub_numsub("kegnet")[0][1] == 2, "it does not listen there")
        subprocess.run([sys.executable, "-c", REDIS_PROGRAM, redis_there.url], timeout=WAIT_S, check=True)
        wait_until(lambda: core.pours() == [(1, 600)], core.pours)
        names = set()
        until_s = time.monotonic() + WAIT_S
        while "DrinkCreatedEvent" not in names and time.monotonic() < until_s:
            found = channel.get_message(timeout=0.5)
            names |= {json.loads(found["data"])["event"]} if found else set()
    assert {"MeterUpdate", "FlowUpdate", "DrinkCreatedEvent"} <= names


@pytest.mark.case(107)
def test_a_redis_that_goes_and_comes_is_one_line_each_and_tcp_goes_on(
    device: Device, port: int, redis_there: RedisServer
) -> None:
    core = Core(device, port, f"redis = {redis_there.url}")
    redis_there.stop()
    core.program.log.wait_for("the Redis server does not answer")
    with core.connect() as connection:
        connection.sendall(update(0))
        time.sleep(0.6)  # what a meter of 2,000 pulses a second at most takes, and more
        connection.sendall(update(500))
        hear(connection, "FlowUpdate")
    redis_there.start()
    core.program.log.wait_for("the Redis server answers again")
    assert len(core.program.log.lines("the Redis server does not answer")) == 1


@pytest.mark.case(108)
@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"hello\n\n" * 50, "it is not one JSON object"),
        (update(5, "kegboard.relay0") * 50, "is not a meter's name"),
        (b'{"event":"MeterUpdate","data":{"meter_name":"a.flow0","reading":"1"}}\n\n' * 50, "reading is not a whole"),
        (b"x" * (MAX_MESSAGE_BYTES * 20) + b"\n\n", "it is too long"),
    ],
    ids=["no JSON", "no meter", "wrong type", "without end"],
)
def test_a_bad_message_is_one_line_and_its_sender_is_kept(core: Core, bad: bytes, why: str) -> None:
    with core.connect() as connection:
        connection.sendall(bad)
        connection.sendall(update(0))
        time.sleep(0.3)  # what a meter of 2,000 pulses a second at most takes
        connection.sendall(update(200))
        assert hear(connection, "FlowUpdate")["ticks"] == 200
    assert len(core.program.log.lines(why)) == 1


@pytest.mark.case(108)
def test_what_a_board_counted_before_its_first_message_is_in_the_pour_if_it_was_just_connected(core: Core) -> None:
    connected = {"event": "ControllerConnectedEvent", "data": {"controller_name": "kegboard"}}
    with core.connect() as connection:
        connection.sendall(json.dumps(connected).encode() + b"\n\n" + update(60))
        assert hear(connection, "FlowUpdate")["ticks"] == 60
        time.sleep(0.3)  # what a meter of 2,000 pulses a second at most takes
        connection.sendall(update(100))
        wait_until(lambda: core.pours() == [(0, 100)], core.pours)


def test_one_program_too_many_is_sent_away_and_the_others_are_heard(core: Core) -> None:
    connections = [core.connect() for _ in range(MAX_CLIENTS)]
    connections[0].sendall(update(0))
    core.program.log.wait_for("Remote host connected", MAX_CLIENTS)
    with core.connect() as one_more:
        assert one_more.recv(100) == b""
    core.program.log.wait_for("the others are sent away")
    for reading in range(1, 150):
        connections[0].sendall(update(reading))
    assert hear(connections[0], "FlowUpdate")
    for connection in connections:
        connection.close()
    core.connect().close()


@pytest.mark.case(108)
def test_two_boards_with_one_number_are_told_apart_or_told(core: Core) -> None:
    with core.connect() as connection:
        connection.sendall(update(0) + update(7, "other.flow0"))
        core.program.log.wait_for("other.flow0 and kegboard.flow0 are both pin 0: name both boards in [LocalEvents]")


def test_boards_that_are_named_have_pins_of_their_own(device: Device, port: int) -> None:
    core = Core(device, port, "boards = kegboard:0, other:6")
    with core.connect() as connection:
        connection.sendall(update(0) + update(0, "other.flow1"))
        time.sleep(0.3)  # what a meter of 2,000 pulses a second at most takes
        connection.sendall(update(100) + update(200, "other.flow1"))
        wait_until(lambda: sorted(core.pours()) == [(0, 100), (7, 200)], core.pours)


def test_who_asks_for_a_flow_has_its_relay_on_until_it_ends(core: Core) -> None:
    def ask(request: str) -> bytes:
        return json.dumps({"event": "FlowRequest", "data": {"tap_name": METER, "request": request}}).encode() + b"\n\n"

    with core.connect() as connection:
        connection.sendall(ask("start_flow"))
        assert hear(connection, "SetRelayOutputEvent") == {"output_name": "kegboard.relay0", "output_mode": "enabled"}
        connection.sendall(ask("stop_flow"))
        while hear(connection, "SetRelayOutputEvent")["output_mode"] != "disabled":
            pass


def test_a_token_that_is_taken_away_ends_the_pour_that_it_was_there_for_and_a_tag_that_was_shown_does_not(
    device: Device, port: int
) -> None:
    def removed(reader: str) -> bytes:
        data = {"tap_name": "__all_taps__", "auth_device_name": reader, "token_value": "01", "status": "removed"}
        return json.dumps({"event": "TokenAuthEvent", "data": data}).encode() + b"\n\n"

    core = Core(device, port, idle_s=60)  # longer than is waited here: nothing else ends a pour
    with core.connect() as connection:
        connection.sendall(update(0))
        time.sleep(0.3)  # what a meter of 2,000 pulses a second at most takes
        connection.sendall(update(200) + removed("core.rfid"))
        core.program.log.wait_for("Token removed")
        time.sleep(0.3)  # as above
        connection.sendall(update(300) + removed("core.onewire"))
        wait_until(lambda: core.pours() == [(0, 300)], core.pours)


def test_a_kill_and_a_start_count_what_came_meanwhile(core: Core) -> None:
    with core.connect() as connection:
        connection.sendall(update(1000))
        time.sleep(0.6)  # what a meter of 2,000 pulses a second at most takes, and more
        connection.sendall(update(1500))
        wait_until(lambda: core.pours() == [(0, 500)], core.pours)
    core.program.signal(Signals.SIGKILL)
    core.program.process.wait()
    core.start()
    with core.connect() as connection:
        connection.sendall(update(1700))
        wait_until(lambda: sorted(core.pours()) == [(0, 200), (0, 500)], core.pours)


def test_status_names_who_is_connected_and_the_meters(core: Core, device: Device) -> None:
    with core.connect() as connection:
        connection.sendall(update(1000))
        wait_until(lambda: "pin 0: 0 pours" in device.command("status").stdout, "the meter is not named")
    assert f"local-events  kegbot at port {core.port}" in device.command("status").stdout


def test_a_port_that_is_taken_is_told_with_what_to_look_for(device: Device, port: int, server: Server) -> None:
    with socket.create_server(("127.0.0.1", port)):
        configure(device, f"port = {port}")
        ended = device.command("local-events")
    assert (ended.returncode, "is Kegbot's core running?" in ended.stderr) == (75, True)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("redis = localhost", "is not the address of a Redis server"),
        ("boards = kegboard", "is not boards with pins of their own"),
        ("boards = a:0, b:0", "is not boards with pins of their own"),
        ("boards = a:256", "is not boards with pins of their own"),
        ("port = 0", "write a whole number from 1 to 65535"),
    ],
)
def test_a_bad_setting_is_told(device: Device, line: str, why: str) -> None:
    configure(device, line)
    ended = device.command("local-events")
    assert (ended.returncode, why in ended.stderr) == (78, True)
