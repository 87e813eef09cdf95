"""``hub export`` and ``hub verify-export``, as a person types them."""

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest

from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.hub import pki
from kegnet_client.hub.home import Home
from kegnet_client.hub.ledger import export
from kegnet_client.hub.new_file import write_new
from kegnet_client.hub.store.records import Store

from ..test_cli import run_hub
from .conftest import Said, Send


@pytest.fixture
def hub(home: Home, send: Send) -> Callable[..., int]:
    """``hub("export", ...)`` on a hub with records."""
    with closing(Store(home.database())) as store:
        store.prepare()
        if not store.count():
            send(store, 0)
    return lambda *words: run_hub(*words, "--dir", str(home.directory))


def test_an_export_is_written_and_proven_on_the_command_line(
    hub: Callable[..., int], home: Home, tmp_path: Path, capsys: Said
) -> None:
    file = tmp_path / "ledger"
    assert hub("export", str(file)) == 0
    assert "4 pours" in capsys.readouterr().out
    assert file.stat().st_mode & 0o777 == 0o600
    assert run_hub("verify-export", str(file)) == 0
    said = capsys.readouterr().out
    assert "Every record verifies: 4 pours, 4 temperatures, 5 heartbeats." in said
    assert hashlib.sha256(pki.ca_der(home.ca())).hexdigest() in said
    assert "Whose CA that is, the file cannot show" in said
    assert run_hub("verify-export", str(file), "--ca", str(home.ca_certificate), "--json") == 0
    assert json.loads(capsys.readouterr().out)["counts"]["request"] == 3
    content = bytearray(file.read_bytes())
    content[content.index(b'"pulses":100') + 11] ^= 1
    file.write_bytes(content)
    assert run_hub("verify-export", str(file)) == 65
    assert "pours 1 of" in capsys.readouterr().out
    assert run_hub("verify-export", str(file), "--json") == 65
    assert json.loads(capsys.readouterr().out)["told"][0]["line"] == 8


def test_the_tables_are_a_new_directory(hub: Callable[..., int], tmp_path: Path, capsys: Said) -> None:
    directory = tmp_path / "tables"
    assert hub("export", "--csv", str(directory)) == 0
    assert "4 rows in pours.csv" in capsys.readouterr().out
    assert sorted(path.name for path in directory.iterdir()) == ["devices.csv", "pours.csv", "temperatures.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]
    with pytest.raises(UsageError, match="is there already"):
        hub("export", "--csv", str(directory))


def test_an_export_names_either_a_file_or_a_directory_and_overwrites_nothing(
    hub: Callable[..., int], tmp_path: Path
) -> None:
    (tmp_path / "there").write_text("mine")
    for words in ([], [str(tmp_path / "new"), "--csv", str(tmp_path / "tables")], ["-", "--json"]):
        with pytest.raises(UsageError):
            hub("export", *words)
    with pytest.raises(UsageError, match="is there already"):
        hub("export", str(tmp_path / "there"))
    with pytest.raises(UsageError, match="no directory"):
        hub("export", str(tmp_path / "nowhere" / "new"))
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "mine"


def test_an_export_that_fails_leaves_nothing(hub: Callable[..., int], tmp_path: Path, capsys: Said) -> None:
    def fail(_stream: BinaryIO, _work: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_new(tmp_path / "ledger", export.WORK_NAME, fail)
    assert list(tmp_path.iterdir()) == []
    work = tmp_path / export.WORK_NAME / "whole"  # what one that was killed has left
    work.mkdir(parents=True, mode=0o700)
    (work / "pours.csv").write_text("half")
    work.parent.chmod(0o700)
    assert hub("export", str(tmp_path / "ledger")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["ledger"]


@pytest.mark.parametrize(
    "words", [["missing"], ["/dev/null"], ["ledger", "--ca", "missing"], ["ledger", "--ca", "ledger"]]
)
def test_what_is_no_ledger_or_no_certificate_is_said(
    ledger: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ledger").write_bytes(ledger)
    with pytest.raises((UsageError, ConfigError)):
        run_hub("verify-export", *words)


def test_a_terminal_is_told_nothing_that_moves_its_cursor(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "ledger").write_bytes(rb'{"line":"\u001b[2Jpours\n","id":"\u202e"' + lines_tail())
    assert run_hub("verify-export", str(tmp_path / "ledger")) == 65
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "" not in out
    assert "‮" not in out


def lines_tail() -> bytes:
    return b',"sha256":"%b"}\n' % (b"0" * 64)
