"""`kegnet-client rotate-key`: each step leaves a working device, and no record is lost or refused."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kegnet_client import cli
from kegnet_client.core.errors import ConfigError, ServerRefusalError, UntrustedServerError
from kegnet_client.enrolment.rotate_key import LOCK, rotate_key
from kegnet_client.host.clock import Clock
from kegnet_client.host.lock_file import take_lock
from kegnet_client.hub.ingest import forms
from kegnet_client.sinks.open import send_heartbeat

from .device import Device
from .hub import Hub
from .key_change import settle, unfinished


def test_a_device_at_rest_gets_another_key(hub: Hub, device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    old = device.identity()
    assert cli.main(["rotate-key", "--root", str(device.root)]) == 0
    settle(hub, device, old.fingerprint)
    assert "Nothing delivers at the moment" in capsys.readouterr().out
    assert hub.lines()[:2] == ["POST /rotate", "POST /rotate/confirm"]


def test_no_private_key_is_told_to_the_hub(hub: Hub, device: Device) -> None:
    keys = [device.key.read_text()]
    rotate_key(device.load())
    keys.append(device.key.read_text())
    told = hub.told()
    assert not any(line in told for key in keys for line in key.splitlines() if "-----" not in line)


DYING = """
import os, sys
from pathlib import Path
from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.parse import load
from kegnet_client.enrolment.rotate_key import rotate_key

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
        rotate_key(load(Path(words[1]), None, SECTIONS))
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


@pytest.mark.process
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_a_death_at_any_step_leaves_a_working_device_and_the_same_command_goes_on(
    hub: Hub, make_device: Callable[[], Device], rotate_and_die: Callable[[Device, int], int], every: int
) -> None:
    made = [LOCK, "ca.crt", "client.conf", "device.pub", "privkey.pem", "privkey.pem.words"]
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
        rotate_key(device.load())
        settle(hub, device, old)
        # A copy of a key that a death left in a temporary file is not left for ever.
        assert sorted(path.name for path in device.key.parent.iterdir()) == made
        steps += every
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
    assert f"401: {forms.REVOKED}; the key was not changed" in told
    assert device.identity().fingerprint == old


def test_a_server_that_is_no_hub_changes_nothing_and_the_way_by_hand_works(hub: Hub, device: Device) -> None:
    old = device.identity().fingerprint
    text = device.file.read_text()
    device.file.write_text(text.replace("/rest/v2", "/docs/rest/v2"))
    told = unfinished(device, kind=ServerRefusalError)
    assert "401" in told
    assert device.identity().fingerprint == old
    device.file.write_text(text.replace("/rest/v2", "/rest/x/rest/v2"))
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
    rotate_key(device.load())
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
    rotate_key(device.load())
    assert device.key.is_symlink()
    assert (real.stat().st_uid, real.stat().st_gid) == owner
    assert sorted(path.name for path in real.parent.iterdir()) == [LOCK, "key.pem", "key.pem.words"]
    settle(hub, device, old)


def test_a_request_that_was_made_for_the_old_key_is_made_anew(device: Device) -> None:
    request = device.file.with_name("device.csr")
    request.write_bytes(device.identity().certificate_request())
    rotate_key(device.load())
    assert request.read_bytes() == device.identity().certificate_request()


def test_two_at_once_do_not_meet(hub: Hub, device: Device) -> None:
    directory = os.open(device.key.parent, os.O_RDONLY)
    lock = take_lock(directory, LOCK)
    assert lock is not None
    try:
        assert "another rotate-key is at work" in unfinished(device)
    finally:
        os.close(lock)
        os.close(directory)
    assert hub.requests == []
