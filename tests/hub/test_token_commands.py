"""Tokens, links and the state of the taps, on the command line of the hub's machine."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kegnet_client.core.errors import UsageError
from kegnet_client.hub.app import wall_ms
from kegnet_client.hub.domain.roles import Principal, Role
from kegnet_client.hub.home import Home
from kegnet_client.hub.store import bodies, house, tokens
from kegnet_client.hub.store.records import Store

from .test_cli import run_hub

Hub = Callable[..., int]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def hub(tmp_path: Path, capsys: Said) -> Hub:
    """``hub("status")`` runs that command on this test's own hub."""

    def run(*words: str) -> int:
        return run_hub(*words, "--dir", str(tmp_path / "hub"))

    run("init")
    capsys.readouterr()
    return run


def who(tmp_path: Path, secret: str) -> Principal | None:
    home = Home(tmp_path / "hub")
    with closing(Store(home.database())) as store:
        first = tokens.hash_of(home.token())
        return store.read(lambda connection: tokens.find(connection, tokens.hash_of(secret), first, wall_ms()))


def test_a_token_is_printed_once_listed_without_its_secret_and_revoked(hub: Hub, tmp_path: Path, capsys: Said) -> None:
    hub("token", "make", "anna", "--role", "operate")
    secret = capsys.readouterr().out.strip()
    assert who(tmp_path, secret) == Principal("anna", Role.OPERATE)
    hub("token", "list")
    listed = capsys.readouterr().out
    assert "init  admin" in listed
    assert "anna  operate  made" in listed
    assert secret not in listed
    hub("token", "list", "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["role"], row["revoked_ms"]) == ("anna", "operate", None)
    hub("token", "revoke", "anna")
    assert "anna is revoked" in capsys.readouterr().out
    assert who(tmp_path, secret) is None
    with pytest.raises(UsageError, match="already"):
        hub("token", "make", "anna")


def test_the_token_of_init_can_be_revoked(hub: Hub, tmp_path: Path, capsys: Said) -> None:
    first = Home(tmp_path / "hub").token()
    assert who(tmp_path, first) is not None
    hub("token", "revoke", "init")
    assert who(tmp_path, first) is None
    hub("token", "list")
    assert "init  admin  revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "named"), [(("token", "revoke", "nobody"), "nobody"), (("token", "make", "a\nb"), "printable")]
)
def test_what_cannot_be_done_is_named(hub: Hub, words: tuple[str, ...], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        hub(*words)


def test_a_login_link_stands_alone_on_stdout(hub: Hub, tmp_path: Path, capsys: Said) -> None:
    hub("login-link", "--name", "tv", "--url", "https://hub.example:8443/")
    said = capsys.readouterr()
    link, code = said.out.strip().split("/login?code=")
    assert link == "https://hub.example:8443"
    assert "Within 15 minutes, once; that browser may read for 30 days" in said.err
    with closing(Store(Home(tmp_path / "hub").database())) as store:
        secret = store.write(lambda connection: tokens.use_link(connection, code, wall_ms()))
    assert secret is not None
    assert who(tmp_path, secret) == Principal("tv 1", Role.READ)
    with pytest.raises(UsageError, match="--url"):
        hub("login-link", "--url", "http://hub.example")


def test_a_login_link_leads_to_where_others_reach_the_hub_if_there_is_such_a_place(
    tmp_path: Path, capsys: Said
) -> None:
    directory = str(tmp_path / "named")
    run_hub("init", "--dir", directory, "--host", "localhost", "--host", "kegpi.local")
    capsys.readouterr()
    run_hub("login-link", "--dir", directory)
    assert capsys.readouterr().out.startswith("https://kegpi.local:8443/login?code=")


def test_the_status_of_a_new_hub_and_of_a_tap(hub: Hub, tmp_path: Path, capsys: Said) -> None:
    hub("status")
    assert capsys.readouterr().out == "No tap is set up yet.\n"
    with closing(Store(Home(tmp_path / "hub").database())) as store:
        for kind, body in (
            ("tap", bodies.Tap(name="left")),
            ("tap", bodies.Tap(name="right")),
            ("beverage", bodies.Beverage(name="Helles")),
            ("keg", bodies.Keg(beverage=1, size_ml=50_000, start_ml=20_000, taps=[bodies.KegAtTap(tap=1)])),
        ):
            store.write(lambda connection, kind=kind, body=body: house.say(connection, kind, None, body, "anna", 1))  # type: ignore[misc]  # mypy infers no lambda with defaults
    hub("status")
    assert capsys.readouterr().out.splitlines() == [
        "left: Helles, 20.0 of 50.0 l left (40 %), 40 glasses; nothing poured yet",
        "right: no keg",
    ]
    hub("status", "--json")
    assert [tap["name"] for tap in json.loads(capsys.readouterr().out)["taps"]] == ["left", "right"]
