"""The bridge as the process that ``kegnet-client hub bridge`` is, beside a hub that goes and comes."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ...support.brewpi import BrewPi
from ...support.program import COMMAND, Program
from ...support.waits import WAIT_S
from ...support.watchdog import wait_until_fed
from ...support.websocket import WebSocket
from ..versions import slowly
from .hub_process import Hub


@pytest.fixture
def brewpi(tmp_path: Path) -> Iterator[BrewPi]:
    brewpi = BrewPi(tmp_path / "brewpi")
    yield brewpi
    brewpi.close()


@pytest.fixture
def bridged(hub: Hub, brewpi: BrewPi) -> Hub:
    """A hub with that controller."""
    with hub.client(Authorization=f"Bearer {hub.token}") as client:
        assert client.post("/iocontrollers", json={"name": "One", **brewpi.entry}).is_success
    return hub


def arguments(hub: Hub) -> list[str | Path]:
    return [COMMAND, "hub", "bridge", "--dir", hub.directory, "--hub", hub.url]


def hear(hub: Hub, beer: str) -> None:
    """Until the hub tells of this temperature, as it does to one who subscribes late as well."""
    headers = {"Authorization": f"Bearer {hub.token}"}
    address = f"wss://localhost:{hub.port}/socket"
    with WebSocket(address, hub.context, headers) as connection:
        connection.send(json.dumps({"action": "subscribe", "channel": "data"}))
        while json.loads(json.loads(connection.recv(timeout=WAIT_S))["data"])["payload"]["beer"] != beer:
            pass


@pytest.mark.case(76)
def test_a_hub_that_comes_back_hears_the_newest(
    bridged: Hub, brewpi: BrewPi, start_program: Callable[..., Program]
) -> None:
    bridge = start_program(arguments(bridged))
    hear(bridged, "65.1")
    bridged.program.stop()
    bridge.log.wait_for("the newest of each is kept for it")
    brewpi.display = ["Beer  154.5", "Idling"]
    brewpi.wait_for_questions(len(brewpi.asked) + 4)
    bridged.start(port=str(bridged.port))
    hear(bridged, "154.5")
    bridge.log.wait_for("takes what is published again")
    assert len(bridge.log.lines("the newest of each is kept for it")) == 1
    code, took_s = bridge.stop()
    assert (code, took_s < 2) == (0, True)


@pytest.mark.case(74)
def test_it_stops_at_once_while_a_controller_is_silent(
    bridged: Hub, brewpi: BrewPi, start_program: Callable[..., Program]
) -> None:
    brewpi.answer = brewpi.answer_nothing
    bridge = start_program(arguments(bridged))
    brewpi.wait_for_questions(1)
    code, took_s = bridge.stop()
    assert (code, took_s < 2) == (0, True)


@pytest.mark.case(74)
def test_once_prints_what_it_read_and_fails_if_a_controller_did_not_answer(bridged: Hub, brewpi: BrewPi) -> None:
    done = subprocess.run([*arguments(bridged), "--once"], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first.startswith('One: data: {"controllerId": ')
    assert last == "1 message published."
    brewpi.close()
    done = subprocess.run([*arguments(bridged), "--once"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 75
    assert done.stdout.startswith('One: alarms: {"alarms": [{"source": "One", "code": 1001, "msg": "no connection to ')


@pytest.mark.case(76)
@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--token-file", "WRONG"], 77, "refuses the token"),
        (["--ca", "/etc/ssl/certs/ca-certificates.crt"], 77, "caBundle"),
        *slowly(
            (["--hub", "http://localhost:1"], 64, "write it as https://HOST:8443"),
            (["--hub", "https://localhost:1"], 75, "no connection"),
            (["--dir", "/nonexistent"], 78, "hub init"),
            (["--token-file", "/nonexistent"], 78, "hub token make bridge --role operate"),
            (["--token-file", "/etc/os-release"], 78, "holds no token"),
        ),
    ],
)
def test_what_keeps_it_from_the_hub_is_named(
    session_hub: Hub, tmp_path: Path, options: list[str], code: int, told: str
) -> None:
    (tmp_path / "wrong").write_text("wrong" * 10)
    options = [str(tmp_path / "wrong") if option == "WRONG" else option for option in options]
    directory: list[str | Path] = [] if "--dir" in options else ["--dir", session_hub.directory]
    url = [] if {"--hub", "--dir"} & set(options) else ["--hub", session_hub.url]
    argv: list[str | Path] = [COMMAND, "hub", "bridge", *directory, *url, *options, "--once"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.case(76)
def test_systemd_hears_that_it_is_ready_and_alive_while_the_hub_is_away(hub: Hub, tmp_path: Path) -> None:
    hub.program.stop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(WAIT_S)
        environment = {
            "PATH": os.environ["PATH"],
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "20000000",
        }
        program = Program(["sh", "-c", 'WATCHDOG_PID=$$ exec "$0" "$@"', *arguments(hub)], environment)
        try:
            assert supervisor.recv(4096) == b"READY=1"
            wait_until_fed(supervisor, 1)
        finally:
            code, _ = program.stop()
            program.close()
    assert code == 0
