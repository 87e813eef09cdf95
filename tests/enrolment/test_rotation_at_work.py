"""`kegnet-client rotate-key` beside a daemon that delivers, or something that seems to be one."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from signal import SIGKILL

import pytest

from kegnet_client.cli import main
from kegnet_client.core.records import make_pour
from kegnet_client.enrolment.rotate_key import UnfinishedError, rotate_key
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.open import send_heartbeat
from kegnet_client.spool.directory import Spool, count_waiting, enqueue

from ..support.program import COMMAND, Program
from ..support.waits import WAIT_S
from .device import Device
from .hub import Hub
from .key_change import START_MS, settle, unfinished

Start = Callable[[Device], Program]

pytestmark = pytest.mark.process


@pytest.fixture
def start(hub: Hub) -> Iterator[Start]:
    """``start(device)`` runs its daemon until the test ends; it has delivered something when this returns."""
    running: list[Program] = []

    def run(device: Device) -> Program:
        before = len(hub.rows(device.uuid))
        enqueue(device.spool, make_pour(255, 1 + before, 0, START_MS))
        environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
        running.append(Program([COMMAND, "run", "--root", device.root], environment, terminal=False))
        hub.wait_for(lambda: len(hub.rows(device.uuid)) > before)
        return running[-1]

    yield run
    for program in running:
        program.close()


def test_no_record_is_lost_or_refused_while_the_key_changes(hub: Hub, device: Device, start: Start) -> None:
    start(device)
    first = device.identity().fingerprint
    pours = 0
    enough = threading.Event()

    def is_room() -> bool:
        # Always some on the way, and never so many that the end of the test is far.
        return len(hub.rows(device.uuid)) > pours - 20

    def pour() -> None:
        nonlocal pours
        while not enough.is_set():
            hub.wait_for(is_room)
            pours += 1
            enqueue(device.spool, make_pour(0, 1 + pours % 1000, 1, START_MS + pours))

    def of(key: str) -> int:
        return sum(row.key == key for row in hub.rows(device.uuid))

    producer = threading.Thread(target=pour)
    producer.start()
    keys = [first]
    try:
        hub.wait_for(lambda: of(first) > 5)
        for _ in range(2):
            rotate_key(device.load())
            keys.append(device.identity().fingerprint)
            hub.wait_for(lambda: of(keys[-1]) > 5)
    finally:
        enough.set()
        producer.join()
    hub.wait_for(lambda: len(hub.rows(device.uuid)) == pours + 1)
    assert {row.key for row in hub.rows(device.uuid)} == set(keys)
    assert hub.statuses() == {200}
    assert not (device.spool / "rejected").exists()
    settle(hub, device, first)


@pytest.mark.parametrize("lost", ["/rotate", "/rotate/confirm"])
def test_an_answer_that_is_lost_leaves_a_working_device_and_the_same_command_goes_on(
    hub: Hub, device: Device, start: Start, lost: str
) -> None:
    start(device)
    old = device.identity().fingerprint
    hub.lose.append(lost)
    told = unfinished(device)
    assert "run `kegnet-client rotate-key` again" in told
    assert ("the key was not changed" in told) == (lost == "/rotate")
    send_heartbeat(device.settings, Clock(), {})
    rotate_key(device.load())
    settle(hub, device, old)
    assert hub.statuses() == {200}


def test_what_delivers_without_saying_who_it_is_keeps_the_old_key_good(hub: Hub, device: Device) -> None:
    old = device.identity().fingerprint
    with closing(Spool(device.spool)) as spool:
        spool.lock()
        told = unfinished(device)
    assert "does not say what it is; when it has ended, run" in told
    assert old in hub.keys(device.uuid)
    assert "POST /rotate/confirm" not in hub.lines()
    rotate_key(device.load())
    settle(hub, device, old)


def test_a_reload_that_fails_keeps_the_old_key_good(hub: Hub, device: Device, start: Start) -> None:
    program = start(device)
    old = device.identity().fingerprint
    # The daemon cannot take over this configuration; rotate-key can work with another.
    text = device.file.read_text()
    good = device.root / "good.conf"
    good.write_text(text)
    device.file.write_text("nonsense")
    with pytest.raises(UnfinishedError, match="not seen to use the new key"):
        rotate_key(device.load(good), take_over_s=0.5)
    assert old in hub.keys(device.uuid)
    before = len(hub.rows(device.uuid))
    enqueue(device.spool, make_pour(1, 1, 1, START_MS))
    hub.wait_for(lambda: len(hub.rows(device.uuid)) > before)
    assert program.process.poll() is None
    device.file.write_text(text)
    rotate_key(device.load())
    settle(hub, device, old)


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``systemctl(pid, restart)`` stands in for systemd, whose unit is that process; the file has what it was asked."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory), prepend=os.pathsep)

    def make(pid: int, restart: str) -> Path:
        script = directory / "systemctl"
        script.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncase "$1" in show) echo {pid};; restart) {restart};; esac\n'
        )
        script.chmod(0o755)
        return tmp_path / "asked"

    return make


def test_a_service_is_restarted_because_its_key_is_a_copy(
    hub: Hub, device: Device, start: Start, systemctl: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    old = device.identity().fingerprint
    program = start(device)
    # What a restart does for the copy a reload does here, where there is none.
    asked = systemctl(program.pid, f"kill -HUP {program.pid}")
    rotate_key(device.load())
    settle(hub, device, old)
    assert asked.read_text().splitlines()[-1] == "restart kegnet-client"
    assert "The service was restarted with the new key" in capsys.readouterr().out


def test_a_service_that_does_not_restart_keeps_the_old_key_good(
    hub: Hub, device: Device, start: Start, systemctl: Callable[..., Path]
) -> None:
    old = device.identity().fingerprint
    program = start(device)
    systemctl(program.pid, "echo Access denied >&2; exit 4")
    assert "could not be restarted with the new key: Access denied" in unfinished(device)
    assert old in hub.keys(device.uuid)
    systemctl(program.pid, "true")
    assert "not seen to use the new key" in unfinished(device, take_over_s=0.5)
    assert old in hub.keys(device.uuid)
    systemctl(1, "exit 4")  # another root's unit
    rotate_key(device.load())
    settle(hub, device, old)


def test_a_process_that_took_the_number_of_one_that_died_is_left_alone(hub: Hub, device: Device, start: Start) -> None:
    program = start(device)
    pid = program.pid
    program.stop(SIGKILL)
    state = device.root / ".state/state.json"
    with subprocess.Popen(["sleep", str(WAIT_S)]) as stranger:
        state.write_text(state.read_text().replace(str(pid), str(stranger.pid)))
        with closing(Spool(device.spool)) as spool:
            spool.lock()
            assert "does not say what it is" in unfinished(device)
        rotate_key(device.load())
        assert stranger.poll() is None
        stranger.kill()


def test_a_revoked_device_keeps_its_spool_and_says_so_once(hub: Hub, device: Device, start: Start) -> None:
    program = start(device)
    hub.store.revoke_device(device.uuid, 1)
    before = len(hub.rows(device.uuid))
    for number in range(3):
        enqueue(device.spool, make_pour(1, 1 + number, 1, START_MS))
    hub.wait_for(lambda: hub.requests[-1].status == 401)
    line = program.log.wait_for("401")
    assert "it refuses this device or its key: this device is revoked" in line
    assert "Records stay in the spool" in line
    program.stop()
    program.log.close()
    assert program.log.lines("401") == [line]
    assert count_waiting(device.spool) == 3
    assert len(hub.rows(device.uuid)) == before
    assert not (device.spool / "rejected").exists()
    assert main(["send", "--root", str(device.root)]) == 77
