"""`kegnet-client rotate-key`: each step leaves a working device, and no record is lost or refused."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from kegnet_client import cli
from kegnet_client.check import send_heartbeat
from kegnet_client.clock import Clock
from kegnet_client.core.errors import ConfigError, KegnetError, ServerRefusalError, UntrustedServerError
from kegnet_client.core.records import make_pour
from kegnet_client.hub import receive
from kegnet_client.rotation import UnfinishedError, rotate_key
from kegnet_client.send import send
from kegnet_client.spool import count_waiting, enqueue

from ..stage.program import COMMAND, Program
from ..stage.waits import WAIT_S
from .device import Device
from .hub import Hub

START_MS = 1_700_000_000_000

Start = Callable[[Device], Program]


@pytest.fixture
def start(hub: Hub) -> Iterator[Start]:
    """``start(device)`` runs its daemon until the test ends; it has delivered something when this returns."""
    running: list[Program] = []

    def run(device: Device) -> Program:
        before = len(hub.rows(device.uuid))
        enqueue(device.settings.spool, make_pour(255, 1 + before, 0, START_MS))
        environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
        running.append(Program([COMMAND, "run", "--root", device.root], environment, terminal=False))
        hub.wait_for(lambda: len(hub.rows(device.uuid)) > before)
        return running[-1]

    yield run
    for program in running:
        program.close()


def settle(hub: Hub, device: Device, old: str) -> None:
    """Assert that the change is done: one key, a new one, here and there, and nothing beside it."""
    key = device.identity().fingerprint
    assert key != old
    assert hub.keys(device.uuid) == (key,)
    assert device.beside() == set()
    assert stat.S_IMODE(device.key.stat().st_mode) == 0o600
    assert device.settings.file.with_name("device.pub").read_bytes() == device.identity().public_pem()
    send_heartbeat(device.settings, Clock(), {})


def unfinished(device: Device, take_over_s: float = WAIT_S, kind: type[KegnetError] = UnfinishedError) -> str:
    with pytest.raises(kind) as caught:
        rotate_key(device.root, None, take_over_s)
    assert type(caught.value) is kind
    return str(caught.value)


def test_a_device_at_rest_gets_another_key(hub: Hub, device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    old = device.identity()
    assert cli.main(["rotate-key", "--root", str(device.root)]) == 0
    settle(hub, device, old.fingerprint)
    assert "Nothing delivers at the moment" in capsys.readouterr().out
    assert hub.lines()[:2] == ["POST /rotate", "POST /rotate/confirm"]


def test_no_private_key_is_told_to_the_hub(hub: Hub, device: Device) -> None:
    keys = [device.key.read_text()]
    rotate_key(device.root, None)
    keys.append(device.key.read_text())
    told = hub.told()
    assert not any(line in told for key in keys for line in key.splitlines() if "-----" not in line)


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
            enqueue(device.settings.spool, make_pour(0, 1 + pours % 1000, 1, START_MS + pours))

    def of(key: str) -> int:
        return sum(row.key == key for row in hub.rows(device.uuid))

    producer = threading.Thread(target=pour)
    producer.start()
    keys = [first]
    try:
        hub.wait_for(lambda: of(first) > 5)
        for _ in range(2):
            rotate_key(device.root, None)
            keys.append(device.identity().fingerprint)
            hub.wait_for(lambda: of(keys[-1]) > 5)
    finally:
        enough.set()
        producer.join()
    hub.wait_for(lambda: len(hub.rows(device.uuid)) == pours + 1)
    assert {row.key for row in hub.rows(device.uuid)} == set(keys)
    assert hub.statuses() == {200}
    assert not (device.settings.spool / "rejected").exists()
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
    rotate_key(device.root, None)
    settle(hub, device, old)
    assert hub.statuses() == {200}


DYING = """
import os, sys
from pathlib import Path
from kegnet_client.rotation import rotate_key

def profile(frame, event, function):
    global left
    at = event == "c_call" and getattr(function, "__module__", None) == "posix"
    at = at and function.__name__ in ("rename", "fsync", "unlink", "chown", "open")
    if at or event in ("call", "return") and frame.f_code.co_qualname == "Transport.post":
        left -= 1
        if left < 0:
            os._exit(9)

for line in sys.stdin:
    words = line.split()
    left = int(words[0])
    pid = os.fork()
    if pid == 0:
        sys.setprofile(profile)
        rotate_key(Path(words[1]), None)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=sys.stderr, flush=True)
"""
"""Forked from one process for each line of how many steps are left and whose key it is: imports take longer."""


@pytest.fixture
def rotate_and_die() -> Iterator[Callable[[Device, int], int]]:
    """``rotate_and_die(device, steps)`` ends before the step after those: 9, or 0 where there is none."""
    with subprocess.Popen(
        [sys.executable, "-c", DYING],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,  # what the command itself says
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin
        assert process.stderr
        say, hear = process.stdin.write, process.stderr.readline

        def run(device: Device, steps: int) -> int:
            say(f"{steps} {device.root}\n")
            return int(hear())

        yield run


def test_a_death_at_any_step_leaves_a_working_device_and_the_same_command_goes_on(
    hub: Hub, make_device: Callable[[], Device], rotate_and_die: Callable[[Device, int], int]
) -> None:
    made = ["ca.crt", "client.conf", "device.pub", "privkey.pem"]
    seen: set[frozenset[str]] = set()
    steps = 0
    while True:
        device = make_device()
        old = device.identity().fingerprint
        code = rotate_and_die(device, steps)
        assert code in (0, 9)
        if code == 0:
            break
        send_heartbeat(device.settings, Clock(), {})
        seen.add(frozenset(device.beside()))
        rotate_key(device.root, None)
        settle(hub, device, old)
        # A copy of a key that a death left in a temporary file is not left for ever.
        assert sorted(path.name for path in device.key.parent.iterdir()) == made
        steps += 1
    assert steps > 15
    key = device.key.name
    assert {frozenset[str](), frozenset({f"{key}.next"}), frozenset({f"{key}.previous"})} <= seen


def test_a_hub_that_is_away_changes_nothing(hub: Hub, device: Device) -> None:
    old = device.identity().fingerprint
    hub.stop()
    told = unfinished(device)
    assert "no connection" in told
    assert "the key was not changed" in told
    assert device.identity().fingerprint == old


def test_a_server_that_cannot_prove_itself_is_told_nothing(
    hub: Hub, device: Device, start_hub: Callable[[str], Hub]
) -> None:
    device.settings.ca_bundle.write_bytes(start_hub("other").home.ca())
    assert "the key was not changed" in unfinished(device, kind=UntrustedServerError)
    assert hub.requests == []


def test_a_revoked_device_gets_no_other_key(hub: Hub, device: Device) -> None:
    old = device.identity().fingerprint
    hub.store.revoke_device(device.uuid, 1)
    told = unfinished(device, kind=ServerRefusalError)
    assert f"401: {receive.REVOKED}; the key was not changed" in told
    assert device.identity().fingerprint == old


def test_a_server_that_is_no_hub_changes_nothing_and_the_way_by_hand_works(hub: Hub, device: Device) -> None:
    old = device.identity().fingerprint
    text = device.settings.file.read_text()
    device.settings.file.write_text(text.replace("/rest/v2", "/docs/rest/v2"))
    told = unfinished(device, kind=ServerRefusalError)
    assert "401" in told
    assert device.identity().fingerprint == old
    device.settings.file.write_text(text.replace("/rest/v2", "/rest/x/rest/v2"))
    told = unfinished(device, kind=ServerRefusalError)
    assert "it answered 404" in told
    assert "does not know how to change a key, and the key was not changed" in told
    show, move = told.split("`")[1::2]
    new = subprocess.run(["sh", "-c", show], capture_output=True, check=True).stdout
    subprocess.run(["sh", "-c", move], check=True)
    assert device.identity().public_pem() == new
    assert device.identity().fingerprint != old


def test_a_new_key_that_others_could_read_is_not_used(hub: Hub, device: Device) -> None:
    old = device.identity().fingerprint
    leaked = device.key.with_name(device.key.name + ".next")
    leaked.write_bytes(device.key.read_bytes())
    leaked.chmod(0o644)
    rotate_key(device.root, None)
    settle(hub, device, old)


def test_what_stands_in_the_way_of_the_old_key_is_told(device: Device) -> None:
    old = device.identity().fingerprint
    device.key.with_name(device.key.name + ".previous").write_text("hello")
    assert ".previous is in the way" in unfinished(device, kind=ConfigError)
    assert device.identity().fingerprint == old


def test_a_link_to_the_key_stays_one_and_the_key_its_owners(hub: Hub, device: Device, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "key.pem"
    real.parent.mkdir()
    device.key.rename(real)
    device.key.symlink_to(real)
    if os.geteuid() == 0:
        os.chown(real, 12345, 12346)
    owner = real.stat().st_uid, real.stat().st_gid
    old = device.identity().fingerprint
    rotate_key(device.root, None)
    assert device.key.is_symlink()
    assert (real.stat().st_uid, real.stat().st_gid) == owner
    assert [path.name for path in real.parent.iterdir()] == ["key.pem"]
    settle(hub, device, old)


def test_a_request_that_was_made_for_the_old_key_is_made_anew(device: Device) -> None:
    request = device.settings.file.with_name("device.csr")
    request.write_bytes(device.identity().certificate_request())
    rotate_key(device.root, None)
    assert request.read_bytes() == device.identity().certificate_request()


def test_two_at_once_do_not_meet(hub: Hub, device: Device) -> None:
    fd = os.open(device.key.parent, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert "another rotate-key is at work" in unfinished(device)
    finally:
        os.close(fd)
    assert hub.requests == []


def test_what_delivers_without_saying_who_it_is_keeps_the_old_key_good(hub: Hub, device: Device) -> None:
    old = device.identity().fingerprint
    spool = os.open(device.settings.spool, os.O_RDONLY)
    try:
        fcntl.flock(spool, fcntl.LOCK_EX)
        told = unfinished(device)
    finally:
        os.close(spool)
    assert "does not say what it is; when it has ended, run" in told
    assert old in hub.keys(device.uuid)
    assert "POST /rotate/confirm" not in hub.lines()
    rotate_key(device.root, None)
    settle(hub, device, old)


def test_a_reload_that_fails_keeps_the_old_key_good(hub: Hub, device: Device, start: Start) -> None:
    program = start(device)
    old = device.identity().fingerprint
    # The daemon cannot take over this configuration; rotate-key can work with another.
    text = device.settings.file.read_text()
    good = device.root / "good.conf"
    good.write_text(text)
    device.settings.file.write_text("nonsense")
    with pytest.raises(UnfinishedError, match="not seen to use the new key"):
        rotate_key(device.root, good, take_over_s=0.5)
    assert old in hub.keys(device.uuid)
    before = len(hub.rows(device.uuid))
    enqueue(device.settings.spool, make_pour(1, 1, 1, START_MS))
    hub.wait_for(lambda: len(hub.rows(device.uuid)) > before)
    assert program.process.poll() is None
    device.settings.file.write_text(text)
    rotate_key(device.root, None)
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
    rotate_key(device.root, None)
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
    rotate_key(device.root, None)
    settle(hub, device, old)


def test_a_process_that_took_the_number_of_one_that_died_is_left_alone(hub: Hub, device: Device, start: Start) -> None:
    program = start(device)
    pid = program.pid
    program.stop(SIGKILL)
    state = device.root / ".state/state.json"
    with subprocess.Popen(["sleep", str(WAIT_S)]) as stranger:
        state.write_text(state.read_text().replace(str(pid), str(stranger.pid)))
        spool = os.open(device.settings.spool, os.O_RDONLY)
        try:
            fcntl.flock(spool, fcntl.LOCK_EX)
            assert "does not say what it is" in unfinished(device)
        finally:
            os.close(spool)
        rotate_key(device.root, None)
        assert stranger.poll() is None
        stranger.kill()


def test_a_revoked_device_keeps_its_spool_and_says_so_once(hub: Hub, device: Device, start: Start) -> None:
    program = start(device)
    hub.store.revoke_device(device.uuid, 1)
    before = len(hub.rows(device.uuid))
    for number in range(3):
        enqueue(device.settings.spool, make_pour(1, 1 + number, 1, START_MS))
    hub.wait_for(lambda: hub.requests[-1].status == 401)
    line = program.log.wait_for("401")
    assert "it refuses this device or its key: this device is revoked" in line
    assert "Records stay in the spool" in line
    program.stop()
    program.log.close()
    assert program.log.lines("401") == [line]
    assert count_waiting(device.settings.spool) == 3
    assert len(hub.rows(device.uuid)) == before
    assert not (device.settings.spool / "rejected").exists()
    assert send(device.root, None, {}) == 77
