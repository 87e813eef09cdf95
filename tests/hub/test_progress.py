"""What takes its time says on a terminal how far it is, and elsewhere not a word."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.commands.hub.progress import ERASE
from kegnet_client.hub.store.records import Store

from .test_cli import run_hub
from .test_house import DEVICE

Said = pytest.CaptureFixture[str]
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, capsys: Said, device_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("backup", file)`` runs that command on this test's hub; what it says on standard error."""
    home = tmp_path / "hub"
    assert run_hub("init", "--dir", str(home)) == 0
    store = Store(home / "hub.db")
    store.add_device(DEVICE, device_key.public_key(), "bar", 1)
    store.close()

    def command(*words: str | Path, home: Path = home, terminal: bool = True) -> str:
        capsys.readouterr()
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
        assert run_hub(*map(str, words), "--dir", str(home)) == 0
        return capsys.readouterr().err

    return command


def shown(said: str) -> list[str]:
    """What stood in the one line, one after the other, each once however slow this machine; nothing is left of it."""
    assert said.endswith(ERASE)
    return list(dict.fromkeys(text for text in said.split(ERASE) if text))


def test_a_backup_and_a_restore_say_what_they_are_at(run: Run, tmp_path: Path) -> None:
    said = shown(run("backup", tmp_path / "saved"))
    assert said == ["copying the database", "checking the database", "0 MB written"]
    said = shown(run("restore", tmp_path / "saved", home=tmp_path / "new"))
    assert said == ["0 MB read", "checking the database"]


def test_an_export_says_how_many_rows_it_has_written(run: Run, tmp_path: Path) -> None:
    assert shown(run("export", tmp_path / "ledger"))[0] == "1 rows written"
    assert shown(run("export", "--csv", tmp_path / "tables"))[0].endswith("rows written")


def test_where_there_is_no_terminal_nothing_is_said(run: Run, tmp_path: Path) -> None:
    assert run("backup", tmp_path / "saved", terminal=False) == ""
    assert run("restore", tmp_path / "saved", home=tmp_path / "new", terminal=False) == ""
    assert run("export", tmp_path / "ledger", terminal=False) == ""
