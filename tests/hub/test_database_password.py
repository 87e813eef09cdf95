"""The password of the hub's database comes from a file or the environment, and is seen nowhere."""

from contextlib import closing
from pathlib import Path

import pytest

from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.hub.home import Home
from kegnet_client.hub.serve import utc_now
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

from ..support.postgresql import PostgreSQL
from .test_cli import run_hub

PASSWORD = "p:@/%'ss word"


@pytest.fixture
def url(postgresql_server: PostgreSQL) -> str:
    """An empty database that asks for `PASSWORD`, which is not in it."""
    return postgresql_server.make_guarded_database(PASSWORD.replace("'", "''"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What holds the password."""
    path = tmp_path / "password"
    path.touch(0o600)
    path.write_text(f"{PASSWORD}\n")
    return path


def test_a_hub_with_a_password_file_opens_its_database(tmp_path: Path, url: str, file: Path) -> None:
    directory = tmp_path / "hub"
    words = ("--database", url, "--database-password-file", str(file), "--dir", str(directory))
    assert run_hub("init", *words) == 0
    assert PASSWORD not in (directory / "hub.conf").read_text()
    assert run_hub("taps", "add", "left", "--dir", str(directory)) == 0
    assert run_hub("check", "--dir", str(directory)) in (0, 75)


def test_a_hub_is_moved_with_a_password_file_and_back(tmp_path: Path, url: str, file: Path) -> None:
    home = Home(tmp_path / "hub")
    words = ("--dir", str(home.directory))
    run_hub("init", *words)
    run_hub("taps", "add", "left", *words)
    assert run_hub("migrate", "--to", url, "--password-file", str(file), *words) == 0
    text = home.settings.read_text()
    assert (f"database = {url}" in text, f"databasePasswordFile = {file}" in text) == (True, True)
    (home.directory / "hub.db").unlink()
    assert run_hub("migrate", "--to", f"sqlite:///{home.directory}/hub.db", *words) == 0
    assert home.database() == home.directory / "hub.db"
    assert str(file) not in home.settings.read_text()


def test_the_environment_may_hold_it(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--dir", str(tmp_path / "hub"))
    run_hub("init", *words)
    with pytest.raises(StoreError, match="password"):
        run_hub("migrate", "--to", url, *words)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert run_hub("migrate", "--to", url, *words) == 0
    assert "The hub needs PGPASSWORD, too" in capsys.readouterr().out
    assert run_hub("taps", *words) == 0


@pytest.mark.parametrize("shown", ["postgresql+psycopg://me:secret@h/n", "postgresql+psycopg://me@/n?password=secret"])
@pytest.mark.parametrize("words", [("init", "--database"), ("migrate", "--to")])
def test_a_password_on_the_command_line_is_refused(tmp_path: Path, words: tuple[str, str], shown: str) -> None:
    home = Home(tmp_path / "hub")
    if words[0] == "migrate":
        home.initialise(["localhost"], None, utc_now())
    with pytest.raises(UsageError, match="can read a password there") as refused:
        run_hub(*words, shown, "--dir", str(home.directory))
    assert "secret" not in str(refused.value)


def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path, url: str, file: Path) -> None:
    home = Home(tmp_path / "hub")
    home.initialise(["localhost"], None, utc_now())
    file.chmod(0o604)
    home.use_database(url, file)
    with pytest.raises(ConfigError, match=r"databasePasswordFile: is open to others"):
        home.database()
    file.chmod(0o600)
    home.use_database("postgresql+psycopg:///n", file)
    with pytest.raises(UsageError, match="names no user"):
        home.database()


def test_a_password_in_hub_conf_still_opens_the_database(tmp_path: Path, url: str) -> None:
    with closing(Store(url.replace("guarded@", "guarded:p%3A%40%2F%25%27ss%20word@"))) as store:
        store.prepare()
