"""The line that the hub prints, and what it shows of its devices."""

import shlex
from pathlib import Path

import pytest

from kegnet_client import cli
from kegnet_client.commands.hub.invite import MAX_VALID_MINUTES
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.enrolment.rotate_key import UnfinishedError, rotate_key

from .device import Device
from .hub import Hub


def test_the_line_that_invite_prints_does_it(
    hub: Hub, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["hub", "invite", "--dir", str(hub.home.directory), "--name", "left tap", "--url", hub.url + "/"]
    assert cli.main(words) == 0
    printed = capsys.readouterr()
    sudo, program, *words = shlex.split(printed.out)
    assert (sudo, program, words[0]) == ("sudo", "kegnet-client", "enroll")
    assert "Within 60 minutes, once" in printed.err
    monkeypatch.setenv("KEGNET_ROOT", str(root))
    assert cli.main(words) == 0
    assert "left tap is enrolled" in capsys.readouterr().out
    assert cli.main(words) == ConfigError.exit_code
    assert "is already set and was not changed" in capsys.readouterr().err


def invite(hub: Hub, *words: str) -> int:
    return cli.main(["hub", "invite", "--dir", str(hub.home.directory), *words])


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (["localhost", "keg.local"], "https://keg.local:8443"),
        (["localhost", "127.0.0.1", "192.168.1.5"], "https://192.168.1.5:8443"),
        (["::1", "fe80::5"], "https://[fe80::5]:8443"),
        (["localhost", "127.0.0.1"], "https://localhost:8443"),
    ],
)
def test_the_printed_address_is_one_that_others_can_reach_if_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hosts: list[str], url: str
) -> None:
    directory = ["--dir", str(tmp_path / "h")]
    cli.main(["hub", "init", *directory, *(word for host in hosts for word in ("--host", host))])
    capsys.readouterr()
    assert cli.main(["hub", "invite", *directory, "--valid-minutes", "5"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"sudo kegnet-client enroll {url} kegnet_")
    assert "Within 5 minutes" in printed.err
    assert ("works on this machine alone" in printed.err) == ("localhost" in url)


@pytest.mark.parametrize(
    "words",
    [
        ["--valid-minutes", "0"],
        ["--valid-minutes", str(MAX_VALID_MINUTES + 1)],
        ["--name", ""],
        ["--name", "a\nb"],
        ["--url", "http://localhost:8443"],
        ["--url", "https://localhost:8443/rest/v2"],
        ["--url", "https://localhost:x"],
        ["--url", "https://u@localhost"],
        ["--url", "https://keg.example:8443"],
    ],
)
def test_an_invitation_that_could_not_work_is_not_made(
    hub: Hub, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invite(hub, *words) == UsageError.exit_code
    assert words[0] in capsys.readouterr().err


def test_a_list_of_devices_shows_who_changes_a_key(
    hub: Hub, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.lose.append("/rotate")
    with pytest.raises(UnfinishedError):
        rotate_key(device.load())
    assert cli.main(["hub", "devices", "list", "--dir", str(hub.home.directory)]) == 0
    assert "changes its key" in capsys.readouterr().out
