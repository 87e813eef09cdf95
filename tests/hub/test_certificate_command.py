"""``kegnet-client hub certificate``, as a person types it."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kegnet_client.core.errors import UsageError
from kegnet_client.hub import pki
from kegnet_client.hub.entrance import default_hosts
from kegnet_client.hub.home import Home

from .test_cli import run_hub


@pytest.fixture
def hub(tmp_path: Path) -> Callable[..., int]:
    """``hub("certificate")`` runs that command on this test's directory, which is a hub named kegpi."""

    def run(*words: str) -> int:
        return run_hub(*words, "--dir", str(tmp_path / "hub"))

    run("init", "--host", "kegpi")
    return run


def test_another_name_comes_first_and_what_devices_use_already_stays(hub: Callable[..., int], tmp_path: Path) -> None:
    home = Home(tmp_path / "hub")
    ca, key = home.ca(), home.server_key.read_bytes()
    assert hub("certificate", "--host", "Bar.Example", "--host", "192.0.2.7") == 0
    assert home.hosts() == ["bar.example", "kegpi", "192.0.2.7"]
    assert (home.ca(), home.server_key.read_bytes()) == (ca, key)


def test_invitations_say_the_new_name(hub: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    hub("certificate", "--host", "bar.example")
    capsys.readouterr()
    hub("invite")
    assert "https://bar.example:8443" in capsys.readouterr().out


def test_a_name_can_be_given_up(hub: Callable[..., int], tmp_path: Path) -> None:
    hub("certificate", "--host", "bar.example", "--only")
    assert Home(tmp_path / "hub").hosts() == ["bar.example"]


def test_without_a_name_it_shows_and_changes_nothing(
    hub: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Home(tmp_path / "hub").server_certificate.read_bytes()
    capsys.readouterr()
    hub("certificate")
    assert capsys.readouterr().out.startswith("The hub's certificate is for kegpi, good until 20")
    assert Home(tmp_path / "hub").server_certificate.read_bytes() == before


@pytest.mark.parametrize("words", [["--host", "no name"], ["--only"]])
def test_what_no_certificate_can_carry_changes_nothing(
    hub: Callable[..., int], tmp_path: Path, words: list[str]
) -> None:
    before = Home(tmp_path / "hub").server_certificate.read_bytes()
    with pytest.raises(UsageError, match="--host"):
        hub("certificate", *words)
    assert Home(tmp_path / "hub").server_certificate.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("KegPi", ["localhost", "127.0.0.1", "::1", "kegpi", "kegpi.local", "192.0.2.2"]),
        ("hub.example.org", ["localhost", "127.0.0.1", "::1", "hub.example.org", "192.0.2.2"]),
        ("not a name", ["localhost", "127.0.0.1", "::1", "192.0.2.2"]),
    ],
)
def test_by_default_it_is_for_the_machines_name_the_same_with_local_and_its_addresses(
    name: str, hosts: list[str]
) -> None:
    assert default_hosts(name, ["192.0.2.2"]) == hosts


def test_init_without_a_name_takes_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "kegpi")
    run_hub("init", "--dir", str(tmp_path / "other"))
    hosts = pki.hosts_of((tmp_path / "other" / "server.crt").read_bytes())
    assert hosts[:3] == ["localhost", "kegpi", "kegpi.local"]
    assert "127.0.0.1" in hosts
    assert "hub certificate --host NAME" in capsys.readouterr().out
