"""What a member of the spool's group can put where root reads: nothing is followed, waited for, or printed raw."""

import os
import shutil
from pathlib import Path

import pytest

from ..support.device import Device
from .misbehaving_server import Server
from .versions import slowly

OWNER, NEIGHBOUR = 65533, 65532
CLEAR_SCREEN = "\x1b[2J"


@pytest.fixture
def shared(device: Device, as_root: None) -> Device:
    """A device whose spool is its owner's, and others may add to it."""
    os.chown(device.spool, OWNER, OWNER)
    device.spool.chmod(0o3777)
    return device


def is_raw(text: str) -> bool:
    """Whether a terminal would do something for ``text``."""
    return not text.replace("\n", "").isprintable()


@pytest.mark.case(62)
@pytest.mark.parametrize("kind", ["directory", "pipe", *slowly("link")])
def test_nothing_is_taken_from_or_put_into_a_rejected_of_a_neighbour_and_it_is_said(
    shared: Device, server: Server, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "x.pour").write_text("secret\n")
    (secret / "x.pour.reason").write_text("the secret\n")
    match kind:
        case "directory":
            shutil.copytree(secret, shared.rejected)
            os.chown(shared.rejected, NEIGHBOUR, NEIGHBOUR)
            told = f"it belongs to the user {NEIGHBOUR}, who is neither the owner of the spool nor root"
        case "link":
            shared.rejected.symlink_to(secret)
            told = "Not a directory; move away what stands there"
        case _:
            os.mkfifo(shared.rejected)
            told = "Not a directory; move away what stands there"
    shared.drop_text("nonsense\n", "bad.pour")

    for command in (["rejected", "list"], ["rejected", "retry", "x.pour"], ["rejected", "retry"]):
        ended = shared.command(*command)
        assert (ended.returncode, ended.stdout, told in ended.stderr) == (75, "", True), ended
    for command in (["status"], ["check"]):
        lines = [line for line in shared.command(*command).stdout.splitlines() if told in line]
        assert len(lines) == 1, command
    assert told in shared.command("send").stdout + shared.command("send").stderr
    assert shared.waiting() == ["bad.pour"]
    assert (secret / "x.pour").read_text() == "secret\n"

    program = shared.run()
    shared.drop(1)
    server.wait_for_rows([1])
    assert told in program.log.wait_for("cannot be changed")
    shared.rejected.rename(tmp_path / "moved away")
    shared.reload(program)
    program.log.wait_for("it is kept in rejected/")
    assert shared.rejected.stat().st_uid == OWNER
    assert (shared.rejected / "bad.pour").read_text() == "nonsense\n"


@pytest.mark.case(62)
def test_a_reason_is_read_only_from_a_file_and_printed_only_as_far_as_it_can_be(shared: Device, tmp_path: Path) -> None:
    shared.rejected.mkdir()
    os.chown(shared.rejected, OWNER, OWNER)
    (tmp_path / "secret").write_text("secret")
    for name in ("link", "pipe", "raw", "huge", f"na{CLEAR_SCREEN}me"):
        (shared.rejected / f"{name}.pour").touch()
    (shared.rejected / "link.pour.reason").symlink_to(tmp_path / "secret")
    os.mkfifo(shared.rejected / "pipe.pour.reason")
    (shared.rejected / "raw.pour.reason").write_text(f"bad {CLEAR_SCREEN}\nworse\n")
    with (shared.rejected / "huge.pour.reason").open("wb") as file:
        file.truncate(2**40)
    (shared.rejected / "directory.pour").mkdir()
    ended = shared.command("rejected", "list")
    assert (ended.returncode, is_raw(ended.stdout)) == (0, False)
    assert ended.stdout.splitlines() == [
        "huge.pour  its reason cannot be read (larger than 64 KiB)",
        "link.pour  its reason cannot be read (not a regular file)",
        "na\\x1b[2Jme.pour  no reason is kept",
        "pipe.pour  its reason cannot be read (not a regular file)",
        "raw.pour  bad \\x1b[2J\\nworse",
    ]


@pytest.mark.case(62)
def test_only_a_file_is_put_back(shared: Device, tmp_path: Path) -> None:
    shared.rejected.mkdir()
    (tmp_path / "secret").write_text("secret")
    (shared.rejected / "link.pour").symlink_to(tmp_path / "secret")
    (shared.rejected / "directory.pour").mkdir()
    os.mkfifo(shared.rejected / "pipe.pour")
    for name in ("link.pour", "directory.pour", "pipe.pour"):
        ended = shared.command("rejected", "retry", name)
        assert (ended.returncode, "no rejected record has this name" in ended.stderr) == (75, True)
    assert shared.command("rejected", "retry", "../../conf/privkey.pem").returncode == 75
    assert shared.waiting() == []


@pytest.mark.case(62)
@pytest.mark.parametrize("command", ["status", "check", "send", "rejected list", "rejected retry"])
def test_no_name_and_no_content_reaches_roots_terminal_raw(shared: Device, command: str) -> None:
    shared.drop_text(f"{CLEAR_SCREEN}\n", f"{CLEAR_SCREEN}.pour")
    (shared.spool / f"link{CLEAR_SCREEN}.pour").symlink_to("/etc/shadow")
    os.mkfifo(shared.spool / f"pipe{CLEAR_SCREEN}.pour")
    shared.rejected.mkdir()
    (shared.rejected / f"{CLEAR_SCREEN}.reading").touch()
    (shared.rejected / f"{CLEAR_SCREEN}.reading.reason").write_text(CLEAR_SCREEN)
    ended = shared.command(*command.split())
    assert not is_raw(ended.stdout + ended.stderr), ended


@pytest.mark.case(62)
def test_a_spool_that_the_daemon_makes_has_a_rejected_of_its_own_from_the_start(device: Device) -> None:
    device.spool.rmdir()
    device.run()
    assert device.rejected.stat().st_mode & 0o777 == 0o750
    assert device.rejected.stat().st_uid == os.geteuid()


@pytest.mark.case(62)
def test_root_makes_no_spool_that_the_daemon_could_not_use(shared: Device) -> None:
    shared.spool.rmdir()
    for command in ("send", "check", "status", "rejected list"):
        shared.command(*command.split())
        assert not shared.spool.exists(), command
