"""``hub check``: a line a part; what fails says what to do, and decides the exit code."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from kegnet_client.commands.hub import check
from kegnet_client.host.clock import Clock
from kegnet_client.hub import pki
from kegnet_client.hub.home import Home
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.database import StoreError

from ..support.postgresql import PostgreSQL
from .test_cli import run_hub

PARTS = ["clock", "configuration", "certificate", "token", "database", "disk"]


class Checked(NamedTuple):
    code: int
    parts: dict[str, tuple[bool, str]]


Check = Callable[[], Checked]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A new hub, on a machine with a right clock."""
    monkeypatch.setattr(Clock, "doubt", lambda _clock: None)
    run_hub("init", "--dir", str(tmp_path / "hub"))
    return Home(tmp_path / "hub")


@pytest.fixture
def look(home: Home, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs ``hub check --json``."""

    def run() -> Checked:
        capsys.readouterr()
        code = run_hub("check", "--json", "--dir", str(home.directory))
        parts = json.loads(capsys.readouterr().out)
        return Checked(code, {one["part"]: (one["ok"], one["text"]) for one in parts})

    return run


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        path.name: (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes()) for path in directory.iterdir()
    }


def test_where_all_is_well_every_line_says_so_and_nothing_is_changed(
    home: Home, look: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(home.directory)
    checked = look()
    assert checked.code == 0
    assert [(part, ok) for part, (ok, _) in checked.parts.items()] == [(part, True) for part in PARTS]
    assert snapshot(home.directory) == before
    run_hub("check", "--dir", str(home.directory))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", part] for part in PARTS]


def test_a_wrong_setting_is_named_and_the_rest_is_looked_at(home: Home, look: Check) -> None:
    home.settings.write_text("[hub]\nport = 99999\n")
    checked = look()
    assert checked.code == 78
    ok, text = checked.parts["configuration"]
    assert not ok
    assert f"{home.settings}: [hub] port: '99999'" in text
    assert checked.parts["token"][0]


@pytest.mark.parametrize(
    ("spoil", "part", "code", "told"),
    [
        (lambda home: home.token_file.chmod(0o644), "token", 78, "chmod 600"),
        (lambda home: home.token_file.unlink(), "token", 78, "is missing"),
        (lambda home: home.server_key.write_bytes(pki.make_key()), "certificate", 78, "cannot be used together"),
        (lambda home: home.server_certificate.write_bytes(b"x"), "certificate", 78, "put that one back"),
        (lambda home: (home.directory / "hub.db").unlink(), "database", 75, "put it back from a backup"),
        (lambda home: (home.directory / "hub.db").write_bytes(b"x" * 4096), "database", 75, "not a database"),
    ],
    ids=["token that others read", "no token", "key", "certificate", "no database", "no such database"],
)
def test_what_is_wrong_is_told_with_the_remedy(
    home: Home, look: Check, spoil: Callable[[Home], object], part: str, code: int, told: str
) -> None:
    spoil(home)
    checked = look()
    ok, text = checked.parts[part]
    assert (ok, checked.code) == (False, code)
    assert told in text
    assert all(ok for name, (ok, _) in checked.parts.items() if name != part)


def test_a_database_that_waits_for_an_update_or_is_newer_is_told(home: Home, look: Check) -> None:
    for version, told in (("0001", "is not up to date"), ("9999", "newer version")):
        with closing(sqlite3.connect(home.directory / "hub.db")) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        ok, text = look().parts["database"]
        assert not ok
        assert told in text


def test_a_certificate_that_has_run_out_is_told(home: Home, look: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "wall_ms", lambda _clock: 4_000_000_000_000)
    ok, text = look().parts["certificate"]
    assert not ok
    assert "set the clock if that is wrong" in text


def test_a_full_disk_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.statvfs(home.directory)
    full = os.statvfs_result([*whole[:2], 1000, 40, 40, *whole[5:]])
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    with pytest.raises(StoreError, match="4% of the disk"):
        check._look_at_disk(home.directory)


@pytest.mark.process
def test_a_postgresql_database_is_looked_at_and_its_password_not_told(
    home: Home, look: Check, postgresql_server: PostgreSQL
) -> None:
    url = postgresql_server.make_database()
    home.settings.write_text(f"[hub]\ndatabase = {url}\n")
    ok, text = look().parts["database"]
    assert not ok
    assert "not up to date" in text
    run_hub("token", "list", "--dir", str(home.directory))  # which prepares it
    assert look().parts["database"][1].endswith(f", version {schema.VERSION}")
    home.settings.write_text("[hub]\ndatabase = postgresql+psycopg://me:secret@127.0.0.1:1/none\n")
    checked = look()
    assert checked.code == 75
    assert "secret" not in str(checked)
