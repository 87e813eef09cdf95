"""A device that comes back: revoked, reflashed, or without its key, by one command and on the operator's word alone."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from kegnet_client import cli
from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.core.errors import ConfigError, ServerRefusalError, UntrustedServerError, UsageError
from kegnet_client.core.records import Pour
from kegnet_client.core.wire.enrolment import format_code, parse_code
from kegnet_client.enrolment.enroll import enroll
from kegnet_client.enrolment.rotate_key import rotate_key
from kegnet_client.host.clock import Clock
from kegnet_client.hub import pki
from kegnet_client.hub.app import wall_ms
from kegnet_client.hub.store import devices, enrolment
from kegnet_client.sinks.kegnet_section import KEGNET
from kegnet_client.sinks.open import send_heartbeat
from kegnet_client.spool.directory import enqueue

from .attempts import ENROL, refusal, tree
from .device import Device
from .hub import Hub


def invite_back(hub: Hub, uuid: str) -> str:
    """A code by which the device comes back, as the hub prints it."""

    def work(connection: Connection) -> bytes:
        return enrolment.make_invitation(connection, None, wall_ms() + 60_000, uuid)

    return format_code(pki.ca_der(hub.home.ca()), hub.store.write(work), uuid)


def hub_command(hub: Hub, *words: str) -> int:
    return cli.main(["hub", *words, "--dir", str(hub.home.directory)])


def send(device: Device) -> str:
    return send_heartbeat(device.load().section(KEGNET), Clock(), {})


@pytest.mark.case(141)
@pytest.mark.parametrize("was", ["revoked", "reflashed", "without its key"])
def test_one_command_brings_a_device_back_under_its_uuid_and_name(
    hub: Hub, device: Device, capsys: pytest.CaptureFixture[str], was: str
) -> None:
    old = device.identity()
    match was:
        case "revoked":
            hub.store.revoke_device(device.uuid, wall_ms())
        case "reflashed":
            for path in device.file.parent.iterdir():
                path.unlink()
        case _:
            device.key.unlink()
    assert hub_command(hub, "invite", "--replace", "tap", "--url", hub.url) == 0
    _sudo, _program, *words = capsys.readouterr().out.split()
    assert cli.main([*words, "--root", str(device.root)]) == 0
    assert f"tap is enrolled at {hub.url} as {device.uuid}" in capsys.readouterr().out
    now = Device(device.root, device.load())
    assert now.uuid == device.uuid
    assert now.identity().fingerprint != old.fingerprint
    assert hub.keys(device.uuid) == (now.identity().fingerprint,)


def test_an_answer_that_is_lost_is_asked_for_again_and_a_key_is_the_owners_alone_whatever_it_was(
    hub: Hub, device: Device
) -> None:
    device.key.chmod(0o644)
    hub.lose += ["/enroll", "/enroll"]
    code = invite_back(hub, device.uuid)
    enroll(device.root, SECTIONS, hub.url, code, {}, pause=lambda _: None, replace=True)
    assert hub.lines().count(ENROL) == 3
    assert device.key.stat().st_mode & 0o777 == 0o600
    assert hub.keys(device.uuid) == (device.identity().fingerprint,)


def test_what_was_there_is_kept_aside(hub: Hub, device: Device) -> None:
    key = device.key.read_bytes()
    text = device.file.read_text()
    for suffix in (".next", ".previous"):
        device.key.with_name(device.key.name + suffix).write_bytes(key)
    enroll(device.root, SECTIONS, hub.url, invite_back(hub, device.uuid), {}, replace=True)
    enroll(device.root, SECTIONS, hub.url, invite_back(hub, device.uuid), {}, replace=True)
    assert device.key.with_name(device.key.name + ".replaced").read_bytes() == key
    assert device.key.with_name(device.key.name + ".replaced.2").read_bytes() != key
    assert device.file.with_name("client.conf.replaced").read_text() == text
    assert not device.key.with_name(device.key.name + ".next").exists()
    assert device.key.stat().st_mode & 0o777 == 0o600


def test_a_device_that_is_another_one_by_then_says_so_while_records_wait(hub: Hub, device: Device) -> None:
    enqueue(device.spool, Pour(0, 5, 1000, 1_700_000_000_000))
    before = tree(device.root)
    with pytest.raises(ConfigError, match=f"1 records of {device.uuid} wait here"):
        enroll(device.root, SECTIONS, hub.url, hub.invite(), {}, replace=True)
    assert tree(device.root) == before
    enroll(device.root, SECTIONS, hub.url, invite_back(hub, device.uuid), {}, replace=True)


def test_a_hub_that_refuses_leaves_the_device_as_it_was(hub: Hub, device: Device) -> None:
    code = invite_back(hub, device.uuid)
    hub.store.revoke_device(device.uuid, wall_ms())  # the operator's last word
    before = tree(device.root)
    with pytest.raises(ServerRefusalError, match="no such code"):
        enroll(device.root, SECTIONS, hub.url, code, {}, replace=True)
    assert tree(device.root) == before
    assert hub.lines()[-1] == ENROL


def test_an_ordinary_invitation_takes_over_no_device(hub: Hub, device: Device, root: Path) -> None:
    ordinary = hub.invite()
    stolen = format_code(pki.ca_der(hub.home.ca()), bytes.fromhex(secret_of(ordinary)), device.uuid)
    keys = hub.keys(device.uuid)
    assert "registered already" in refusal(ServerRefusalError, root, hub.url, stolen)
    assert hub.keys(device.uuid) == keys


def test_a_replacement_is_good_for_its_own_device_alone(hub: Hub, device: Device, root: Path) -> None:
    code = invite_back(hub, device.uuid)
    other = format_code(pki.ca_der(hub.home.ca()), bytes.fromhex(secret_of(code)))
    assert "for another device" in refusal(ServerRefusalError, root, hub.url, other)
    assert hub.keys(device.uuid) == (device.identity().fingerprint,)


def test_of_two_replacements_of_a_device_the_last_one_counts(hub: Hub, device: Device, root: Path) -> None:
    first = invite_back(hub, device.uuid)
    invite_back(hub, device.uuid)
    assert "no such code" in refusal(ServerRefusalError, root, hub.url, first)


def secret_of(code: str) -> str:
    return parse_code(code).secret


def test_without_replace_all_that_is_in_the_way_is_told_at_once(hub: Hub, device: Device) -> None:
    device.file.with_name("device.pub").write_text("mine")
    told = refusal(ConfigError, device.root, hub.url, hub.invite())
    for part in (
        "uuid: is already set",
        "privkey.pem: already exists",
        "device.pub: already exists",
        "enroll --replace URL CODE",
    ):
        assert part in told


@pytest.mark.case(142)
def test_a_hub_restored_from_before_a_change_takes_the_key_by_the_word_of_the_one_before(
    hub: Hub, device: Device, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = hub.keys(device.uuid)
    rotate_key(device.load())
    rotate_key(device.load())
    # What a restore brings back: the hub knows nothing of both changes.
    with closing(sqlite3.connect(str(hub.home.database()))) as database, database:
        database.execute("UPDATE devices SET key = ?, next_key = NULL", first)
    with pytest.raises(UntrustedServerError):
        send(device)
    assert cli.main(["rotate-key", "--root", str(device.root)]) == 0
    assert "took it by the word of the one before" in capsys.readouterr().out
    assert hub.keys(device.uuid) == (device.identity().fingerprint,)
    send(device)


def test_no_word_of_a_key_before_helps_who_has_only_that_key(hub: Hub, device: Device, tmp_path: Path) -> None:
    key = device.key.read_bytes()
    rotate_key(device.load())
    device.key.write_bytes(key)  # a thief's copy of the old key, with the words beside it
    with pytest.raises(ServerRefusalError, match="the key was not changed"):
        rotate_key(device.load())


def test_operators_name_devices_by_their_names(hub: Hub, device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    assert hub_command(hub, "devices", "rename", "tap", "Front bar") == 0
    assert hub_command(hub, "devices", "revoke", "tap") == UsageError.exit_code
    public = device.root / "new.pub"
    public.write_bytes(device.identity().public_pem())
    assert hub_command(hub, "devices", "revoke", "Front bar") == 0
    with pytest.raises(UntrustedServerError):
        send(device)
    assert hub_command(hub, "devices", "rekey", "Front bar", str(public)) == 0
    assert "It is not revoked any more" in capsys.readouterr().out
    send(device)


def test_a_name_that_two_devices_have_is_no_name(hub: Hub, make_device: Callable[[], Device]) -> None:
    devices_made = [make_device(), make_device()]
    with pytest.raises(UsageError, match="2 devices are called 'tap'"):
        hub.store.look(lambda connection: devices.find(connection, "tap"))
    hub.store.revoke_device(devices_made[0].uuid, wall_ms())
    found = hub.store.look(lambda connection: devices.find(connection, "tap"))
    assert found.uuid == devices_made[1].uuid


def test_no_invitation_is_made_for_the_name_of_a_device_that_sends(
    hub: Hub, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hub_command(hub, "invite", "--name", "tap", "--url", hub.url) == UsageError.exit_code
    assert "invite --replace" in capsys.readouterr().err
