"""The hub's directory."""

import datetime
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kegnet_client.config.edit import render
from kegnet_client.core.errors import ConfigError
from kegnet_client.hub.configuration import HEAD, SECTIONS
from kegnet_client.hub.home import Home
from kegnet_client.hub.hub_section import HUB, HubSettings
from kegnet_client.hub.serve import utc_now

LATER = utc_now() + datetime.timedelta(days=380)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A directory as `hub init` makes it."""
    home = Home(tmp_path / "hub")
    home.initialise(["localhost"], "postgresql+psycopg://hub:p%40ss@db/kegnet", utc_now())
    return home


def test_what_is_secret_is_its_owners_alone(home: Home) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in home.directory.iterdir()}
    assert modes == {
        "ca.key": 0o600,
        "server.key": 0o600,
        "token": 0o600,
        "hub.conf": 0o600,
        "ca.crt": 0o644,
        "server.crt": 0o644,
    }
    assert home.directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["ca.key", "ca.crt", "server.key", "server.crt", "token", "hub.conf", "hub.db"])
def test_nothing_that_is_there_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match="initialised already"):
        Home(tmp_path).initialise(["localhost"], None, utc_now())
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "mine"}


def test_the_database_url_is_kept_as_it_was_given(home: Home) -> None:
    assert home.database() == "postgresql+psycopg://hub:p%40ss@db/kegnet"


def test_without_a_url_the_database_is_a_file_here(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.initialise(["localhost"], None, utc_now())
    assert home.database() == tmp_path / "hub.db"


def test_every_token_is_its_own(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.initialise(["localhost"], None, utc_now())
    assert len(home.token()) >= 43
    assert home.token() != other.token()


def test_a_directory_that_was_never_initialised_says_what_to_do(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for read in (home.token, home.hosts, home.database, lambda: home.renew_certificate(utc_now())):
        with pytest.raises(ConfigError, match="hub init"):
            read()


@pytest.mark.parametrize("name", ["ca.crt", "server.crt", "token"])
def test_a_file_that_is_gone_from_a_hub_is_to_be_put_back(home: Home, name: str) -> None:
    (home.directory / name).unlink()
    with pytest.raises(ConfigError, match=f"{name} is missing: put it back from a backup") as caught:
        {"ca.crt": home.ca, "server.crt": home.hosts, "token": home.token}[name]()
    assert "hub init" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ("database = x", "follow a line [hub]"),
        ("[hub\n", "follow a line [hub]"),
        ("\x80", "save it as UTF-8"),
        ("[hub]\ndatabase = mysql://x", "write it as postgresql+psycopg"),
        ("[hub]\ndatabase =", "write a value"),
        ("[hub]\npublicView = maybe", "write yes or no"),
        ("[hub]\norigins = bar.example", "write them like https://bar.example"),
        ("[hub]\nbind = bar", "is no address of this machine"),
        ("[hub]\nport = 0", "from 1 to 65535"),
        ("[hub]\nproxy = bar", "write an IP address, or a network"),
        ("[hub]\neventsKept = 0", "from 1 to 365"),
        ("[hub]\ndatebase = x", "did you mean database?"),
    ],
)
def test_unusable_settings_say_what_belongs_there(home: Home, content: str, remedy: str) -> None:
    home.settings.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=re.escape(remedy)) as caught:
        home.database()
    assert str(home.settings) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_shipped_settings_are_the_defaults_and_all_of_them(tmp_path: Path) -> None:
    home = Home(tmp_path / "plain")
    home.initialise(["localhost"], None, utc_now())
    assert home.settings.read_text() == render(SECTIONS, HEAD)
    assert home.config().section(HUB) == HubSettings()
    assert (Path(__file__).parents[2] / "conf/hub.conf").read_text() == render(SECTIONS, HEAD)


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"], ids=["empty", "saved by an editor as more than ASCII"])
def test_a_token_that_nobody_can_send_opens_nothing(home: Home, before: bytes) -> None:
    home.token_file.write_bytes(before and before + home.token_file.read_bytes())
    with pytest.raises(ConfigError, match="holds no token"):
        home.token()


def test_a_certificate_that_cannot_be_written_leaves_the_old_one_and_no_rest(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = {path.name: path.read_bytes() for path in home.directory.iterdir()}
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ConfigError, match=r"server\.crt cannot be written: No space left on device"):
        home.renew_certificate(LATER)

    assert {path.name: path.read_bytes() for path in home.directory.iterdir()} == before


@pytest.mark.case(60)
@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "server.crt", "server.key", "token", "hub.conf"])
def test_a_pipe_in_a_files_place_is_named_and_nothing_waits_for_it(home: Home, name: str) -> None:
    (home.directory / name).unlink()
    os.mkfifo(home.directory / name)
    told = []
    for read in (home.token, home.ca, home.database, home.server_pair, lambda: home.renew_certificate(LATER)):
        try:
            read()
        except ConfigError as error:
            told.append(str(error))
    assert told
    assert {line.partition(":")[0] for line in told} == {f"{home.directory / name} cannot be read (not a regular file)"}


KILLED = """
import os, sys
from pathlib import Path
from kegnet_client.hub import home, serve
real = getattr(os, sys.argv[2])
left = int(sys.argv[3])
def step(*args, **options):
    global left
    if not left:
        os._exit(9)
    left -= 1
    return real(*args, **options)
setattr(os, sys.argv[2], step)
with home.Home(Path(sys.argv[1])).initialising(["localhost"], None, serve.utc_now()) as made:
    made.database().write_bytes(b"a database")
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("call", "steps"),
    [
        ("link", range(5)),
        pytest.param("fsync", range(0, 11, 3), marks=pytest.mark.slow),
        pytest.param("unlink", range(1, 5), marks=pytest.mark.slow),
    ],
)
def test_an_init_that_is_killed_is_done_anew_or_was_done(tmp_path: Path, call: str, steps: range) -> None:
    for step in steps:
        directory = tmp_path / f"hub{step}"
        killed = subprocess.run([sys.executable, "-c", KILLED, directory, call, str(step)], check=False, timeout=30)
        assert killed.returncode == 9
        home = Home(directory)
        if home.ca_certificate.exists():
            assert len(home.token()) >= 43
            with pytest.raises(ConfigError, match="initialised already"):
                home.initialise(["localhost"], None, utc_now())
            continue
        with pytest.raises(ConfigError, match="hub init"):
            home.token() if not home.token_file.exists() else home.ca()
        home.initialise(["hub.example"], None, utc_now())
        assert home.hosts() == ["hub.example"]
        assert {path.name for path in directory.iterdir()} == {
            *("ca.key", "ca.crt", "server.key", "server.crt", "token", "hub.conf")
        }


def test_an_init_that_fails_leaves_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "hub")
    making = home.initialising(["localhost"], None, utc_now())
    assert making.__enter__().ca()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not making.__exit__(OSError, full, None)
    assert list(tmp_path.iterdir()) == []
    home.initialise(["localhost"], None, utc_now())
    assert home.token()


def test_what_somebody_put_there_after_an_init_was_killed_is_not_removed(tmp_path: Path) -> None:
    argv: list[str | Path] = [sys.executable, "-c", KILLED, tmp_path, "link", "0"]
    assert subprocess.run(argv, check=False, timeout=30).returncode == 9
    (tmp_path / "hub.db").write_text("mine, from a backup")
    with pytest.raises(ConfigError, match=r"holds hub\.db"):
        Home(tmp_path).initialise(["localhost"], None, utc_now())
    assert (tmp_path / "hub.db").read_text() == "mine, from a backup"


@pytest.mark.process
@pytest.mark.parametrize("step", range(1, 5))
def test_a_hub_that_lost_its_certificate_loses_nothing_more_after_an_init_that_was_killed_late(
    tmp_path: Path, step: int
) -> None:
    # The first files that are unlinked are those of .init: the hub is whole already.
    argv: list[str | Path] = [sys.executable, "-c", KILLED, tmp_path, "unlink", str(step)]
    assert subprocess.run(argv, check=False, timeout=30).returncode == 9
    (tmp_path / "ca.crt").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert "hub.db" in before
    with pytest.raises(ConfigError, match="put it back from a backup"):
        Home(tmp_path).ca()
    with pytest.raises(ConfigError, match="initialised already"):
        Home(tmp_path).initialise(["localhost"], None, utc_now())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_one_init_at_a_time(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.initialising(["localhost"], None, utc_now()), pytest.raises(ConfigError, match="another"):
        Home(tmp_path).initialise(["localhost"], None, utc_now())
    assert home.token()
