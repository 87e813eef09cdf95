"""The command line: help, usage, and the commands that need no server."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from kegnet_client import __version__

from ..support.device import Device

COMMANDS = ["run", "init", "pour", "send", "status", "check", "rejected", "demo", "hub"]
HUB_COMMANDS = ["hub init", "hub run", "hub devices", "hub devices add", "hub devices list", "hub devices revoke"]
POUR = ("pour", "--pin", "3", "--pulses", "586", "--elapsed-ms", "8123")


@pytest.mark.parametrize("command", ["", *COMMANDS, *HUB_COMMANDS])
def test_every_command_has_help(device: Device, command: str) -> None:
    ended = device.command(*command.split(), "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"usage: {' '.join(['kegnet-client', *command.split()])} [-h]")


def test_the_help_names_every_command(device: Device) -> None:
    text = device.command("--help").stdout
    assert [command for command in COMMANDS if f"\n    {command} " not in text] == []


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_tells_the_version(device: Device, command: str) -> None:
    ended = device.command(*command.split(), "--version")
    assert (ended.returncode, ended.stdout) == (0, f"kegnet-client {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("run", "--fast"),
        ("init",),
        ("init", "--url", "http://kegnet.example/rest/v2"),
        ("status", "now"),
        ("rejected",),
        ("rejected", "burn"),
        ("rejected", "list", "a.pour"),
        ("hub",),
        ("hub", "fly"),
        ("pour",),
        (*POUR[:-1], "8.1"),
        (*POUR[:-1], "-1"),
        (*POUR[:-1], "86400001"),
        (*POUR, "--pin", "256"),
        (*POUR, "--pin", "-1"),
        (*POUR, "--pulses", "0"),
        (*POUR, "--pulses", "many"),
        (*POUR, "--started-ms", "1700000000"),
    ],
    ids=" ".join,
)
def test_a_wrong_call_ends_with_64_and_says_what_is_wrong(device: Device, arguments: Sequence[str]) -> None:
    ended = device.command(*arguments)
    assert (ended.returncode, ended.stdout) == (64, "")
    assert ended.stderr.splitlines()[-1].startswith("kegnet-client")
    assert "Traceback" not in ended.stderr
    assert list(device.spool.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "suggestion"),
    [
        ("statsu", "'status'"),
        ("hub tabs", "'taps'"),
        ("hub kegs tpa", "'tap'"),
        ("rejected lits", "'list'"),
        ("status --jsno", "'--json'"),
        ("hub taps add A --sensr=1", "'--sensor'"),
    ],
)
def test_a_word_that_is_nearly_right_is_answered_with_the_right_one(
    device: Device, wrong: str, suggestion: str
) -> None:
    ended = device.command(*wrong.split())
    assert ended.returncode == 64
    assert ended.stderr.splitlines()[-1].endswith(f"; did you mean {suggestion}?")


@pytest.mark.parametrize("command", ["", "status", "hub", "hub taps", "hub taps add"])
def test_help_and_a_command_is_the_help_of_that_command(device: Device, command: str) -> None:
    told = device.command("help", *command.split())
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == device.command(*command.split(), "--help").stdout
    assert told.stdout.startswith(f"usage: {' '.join(['kegnet-client', *command.split()])} [-h]")


def test_help_within_the_hub_is_of_its_commands(device: Device) -> None:
    assert device.command("hub", "help", "taps").stdout == device.command("hub", "taps", "--help").stdout


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("demo", ["--root", "--config"]),
        ("hub taps", ["--root", "--config"]),
        ("module status --url https://couch", ["--root", "--config"]),
        ("kegboard-simulate", ["--root", "--config"]),
        ("kegboard-monitor", ["--root", "--config"]),
        ("init --url https://kegnet.example/rest/v3", ["--config"]),
    ],
)
def test_an_option_that_a_command_has_no_use_for_is_refused_wherever_it_stands(
    device: Device, command: str, options: list[str]
) -> None:
    words = command.split()
    for option in options:
        for call in ([option, "/x", *words], [*words, option, "/x"]):
            ended = device.command(*call)
            assert (ended.returncode, ended.stdout) == (64, "")
        assert f"\n  {option} " not in device.command("help", *words).stdout


def test_the_root_may_be_named_before_and_after_the_command_and_by_the_environment(
    device: Device, tmp_path: Path
) -> None:
    for arguments in (("status",), ("--root", device.root, "status"), ("status", "--root", device.root)):
        assert str(device.spool) in device.command(*arguments).stdout
    elsewhere = device.command("status", "--root", tmp_path / "none")
    assert elsewhere.returncode == 78
    assert f"{tmp_path}/none/conf/client.conf: does not exist" in elsewhere.stderr


def test_another_configuration_can_be_named(device: Device, tmp_path: Path) -> None:
    other = (device.root / "conf" / "client.conf").rename(tmp_path / "other.conf")
    assert device.command("status").returncode == 78
    assert device.command("status", "--config", other).returncode == 3


# pour


def test_a_pour_by_hand_stands_in_the_spool_and_its_path_is_told(device: Device) -> None:
    before_ms = time.time_ns() // 1_000_000
    ended = device.command(*POUR)
    assert (ended.returncode, ended.stderr) == (0, "")
    path = Path(ended.stdout.removesuffix("\n"))
    assert [path] == list(device.spool.iterdir())
    pin, pulses, elapsed, started = path.read_text().removesuffix("\n").split(",")
    assert (pin, pulses, elapsed) == ("3", "586", "8123")
    assert before_ms <= int(started) + 8123 <= time.time_ns() // 1_000_000


def test_a_pour_by_hand_may_say_when_it_was(device: Device) -> None:
    path = Path(device.command(*POUR, "--started-ms", "1700000000000").stdout.strip())
    assert path.read_text() == "3,586,8123,1700000000000\n"


def test_a_spool_that_is_not_there_ends_a_pour_with_75_and_what_to_do(device: Device) -> None:
    device.spool.rmdir()
    ended = device.command(*POUR)
    assert (ended.returncode, ended.stdout) == (75, "")
    assert ended.stderr == (
        f"kegnet-client: {device.spool}: No such file or directory; make it, or fix [Spool] directory in client.conf\n"
    )


def test_without_a_configuration_a_pour_ends_with_78(device: Device) -> None:
    (device.root / "conf" / "client.conf").unlink()
    assert device.command(*POUR).returncode == 78


# rejected


@pytest.fixture
def rejected(device: Device) -> Device:
    """A device with two rejected records."""
    (device.spool / "bad.pour").write_text("0,586\n")
    (device.spool / "worse.pour").write_text("0,586,1,1\n")
    assert device.command("send").returncode == 65
    return device


def test_rejected_records_are_listed_with_their_reasons(rejected: Device) -> None:
    ended = rejected.command("rejected", "list")
    assert ended.returncode == 0
    bad, worse = ended.stdout.splitlines()
    assert bad.startswith("bad.pour  ")
    assert "expected 4 fields pin,pulses,elapsed,started, found 2: '0,586'" in bad
    assert worse.startswith("worse.pour  ")
    assert "a time before 2001: the line was torn or the clock was not set" in worse


def test_nothing_rejected_is_an_empty_list(device: Device) -> None:
    ended = device.command("rejected", "list")
    assert (ended.returncode, ended.stdout) == (0, "")


def test_retry_puts_back_the_named_or_all_of_them(rejected: Device) -> None:
    ended = rejected.command("rejected", "retry", "bad.pour")
    assert ended.returncode == 0
    (back,) = rejected.spool.glob("*.pour")
    assert ended.stdout == f"bad.pour waits again as {back.name}\n"
    assert back.read_text() == "0,586\n"
    assert rejected.command("rejected", "retry").returncode == 0
    assert sorted(path.read_text() for path in rejected.spool.glob("*.pour")) == ["0,586\n", "0,586,1,1\n"]
    assert list((rejected.spool / "rejected").iterdir()) == []


def test_retry_of_what_is_not_there_ends_with_75(rejected: Device) -> None:
    ended = rejected.command("rejected", "retry", "none.pour")
    assert ended.returncode == 75
    assert "none.pour: no rejected record has this name; see 'kegnet-client rejected list'" in ended.stderr


def test_retry_of_all_may_be_none(device: Device) -> None:
    assert device.command("rejected", "retry").returncode == 0


def test_rejected_records_are_listed_for_programs(rejected: Device) -> None:
    listed = json.loads(rejected.command("rejected", "list", "--json").stdout)
    assert [one["name"] for one in listed] == ["bad.pour", "worse.pour"]
    assert "expected 4 fields" in listed[0]["reason"]


def test_discard_deletes_the_named_or_all_of_them_and_never_all_by_mistake(rejected: Device) -> None:
    for wrong in (["discard"], ["discard", "bad.pour", "--all"], ["list", "--all"], ["retry", "--all"]):
        assert rejected.command("rejected", *wrong).returncode == 64
    (rejected.rejected / "notes.txt").touch()
    ended = rejected.command("rejected", "discard", "bad.pour")
    assert (ended.returncode, ended.stdout) == (0, "bad.pour is deleted\n")
    assert {path.name for path in rejected.rejected.iterdir()} == {"notes.txt", "worse.pour", "worse.pour.reason"}
    assert rejected.command("rejected", "discard", "--all").returncode == 0
    assert [path.name for path in rejected.rejected.iterdir()] == ["notes.txt"]
    assert list(rejected.spool.glob("*.pour")) == []


@pytest.mark.parametrize("name", ["none.pour", "notes.txt", "../bad.pour", "bad.pour.reason"])
def test_discard_deletes_nothing_that_is_no_rejected_record(rejected: Device, name: str) -> None:
    (rejected.rejected / "notes.txt").touch()
    (rejected.spool / "bad.pour").touch()
    ended = rejected.command("rejected", "discard", name)
    assert ended.returncode == 75
    assert "no rejected record has this name" in ended.stderr
    assert len(list(rejected.rejected.iterdir())) == 5
    assert (rejected.spool / "bad.pour").exists()
