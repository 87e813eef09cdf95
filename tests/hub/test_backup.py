"""A hub in one file and out of it again: nothing damaged or hostile is restored, nothing is overwritten."""

import io
import os
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kegnet_client.core.errors import ConfigError, KegnetError, UsageError
from kegnet_client.hub import archive, backup
from kegnet_client.hub.archive import ArchiveError
from kegnet_client.hub.home import Home
from kegnet_client.hub.serve import utc_now
from kegnet_client.hub.store.records import Store

from .conftest import NOW_MS
from .test_cli import run_hub

Said = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A hub that was initialised."""
    home = Home(tmp_path / "hub")
    home.initialise(["localhost"], None, utc_now())
    with closing(Store(home.database())) as store:
        store.prepare()
    return home


@pytest.fixture
def saved(home: Home, tmp_path: Path) -> Path:
    """Its backup."""
    file = tmp_path / "saved"
    backup.back_up(home, file, NOW_MS, with_database=True)
    return file


def ignore(_count: int) -> None:
    """Nobody wants to know how far it is."""


def restore(content: bytes, directory: Path) -> None:
    backup.restore(Home(directory), io.BytesIO(content))


def test_a_restored_hub_has_the_same_files_with_the_same_modes(home: Home, saved: Path, tmp_path: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    restore(saved.read_bytes(), tmp_path / "new")
    new = Home(tmp_path / "new")
    assert new.contents() == home.contents()
    modes = {path.name: path.stat().st_mode & 0o777 for path in new.directory.iterdir()}
    assert {name for name, mode in modes.items() if mode == 0o644} == {"ca.crt", "server.crt"}
    assert {name for name, mode in modes.items() if mode == 0o600} == {
        "ca.key",
        "server.key",
        "token",
        "hub.conf",
        "hub.db",
    }


def test_tar_itself_reads_a_backup(saved: Path) -> None:
    with tarfile.open(saved) as tar:
        assert tar.getnames()[0] == archive.MANIFEST
        assert tar.getnames()[-1] == archive.DIGEST


def test_an_existing_file_is_never_overwritten(home: Home, saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        backup.back_up(home, saved, NOW_MS, with_database=True)
    assert saved.read_bytes() == before
    assert not (saved.parent / backup.WORK_NAME).exists()


def test_a_directory_that_holds_anything_is_left_as_it_is(saved: Path, home: Home, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="initialised already"):
        backup.restore(home, io.BytesIO(saved.read_bytes()))
    other = tmp_path / "other"
    other.mkdir()
    (other / "hub.db-wal").write_text("another database's")
    with pytest.raises(ConfigError, match="not empty"):
        restore(saved.read_bytes(), other)
    assert [path.name for path in other.iterdir()] == ["hub.db-wal"]


@pytest.mark.case(77)
def test_any_changed_byte_is_found_and_nothing_is_restored(saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()

    @settings(max_examples=settings().max_examples * 3 // 2, deadline=None)
    @given(
        st.integers(0, len(content) - 1) | st.integers(0, 12000) | st.integers(len(content) - 3000, len(content) - 1)
    )
    def check(place: int) -> None:
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        with pytest.raises(KegnetError):
            restore(bytes(changed), tmp_path / "new")
        assert not (tmp_path / "new").exists()

    check()


@pytest.mark.case(77)
@pytest.mark.parametrize("cut", [0, 1, 511, 600, 5000, -1024, -1])
def test_a_backup_that_was_cut_is_not_restored(saved: Path, tmp_path: Path, cut: int) -> None:
    with pytest.raises(ArchiveError):
        restore(saved.read_bytes()[:cut], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_follows_a_backup_is_no_part_of_one(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError):
        restore(saved.read_bytes() + b"\0", tmp_path / "new")


@pytest.mark.case(77)
@pytest.mark.parametrize("name", ["../escaped", "/escaped", "sub/x", ".init", "hub.db-wal", "a" * 90])
def test_a_name_that_is_no_hubs_is_not_unpacked(tmp_path: Path, name: str) -> None:
    file = io.BytesIO()
    archive.write(file, {name: io.BytesIO(b"mine")}, NOW_MS, ignore)
    with pytest.raises(ArchiveError, match="no file of a hub"):
        restore(file.getvalue(), tmp_path / "new")
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.case(77)
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_link_or_an_extension_is_not_followed(saved: Path, tmp_path: Path, kind: bytes) -> None:
    content = bytearray(saved.read_bytes())
    start = content.index(b"ca.key\0")
    header = tarfile.TarInfo.frombuf(content[start : start + 512], "utf-8", "strict")
    header.type, header.linkname = kind, "/etc/passwd"
    content[start : start + 512] = header.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(ArchiveError, match="no ordinary file"):
        restore(bytes(content), tmp_path / "new")


@pytest.mark.case(77)
def test_a_small_file_that_claims_to_be_huge_is_not_unpacked(tmp_path: Path) -> None:
    file = io.BytesIO()
    archive.write(file, {"token": io.BytesIO(bytes(100_000))}, NOW_MS, ignore)
    with pytest.raises(ArchiveError, match="too large"):
        restore(file.getvalue(), tmp_path / "new")


def test_a_damaged_database_is_neither_backed_up_nor_restored(home: Home, tmp_path: Path) -> None:
    file = io.BytesIO()
    sources = {name: io.BytesIO(content) for name, content in home.contents().items()}
    archive.write(file, {**sources, "hub.db": io.BytesIO(b"no database" * 1000)}, NOW_MS, ignore)
    with pytest.raises(ArchiveError, match="damaged"):
        restore(file.getvalue(), tmp_path / "new")
    with (home.directory / "hub.db").open("r+b") as database:
        database.seek(5000)
        database.write(os.urandom(20000))
    with pytest.raises(KegnetError):
        backup.back_up(home, tmp_path / "saved", NOW_MS, with_database=True)
    assert not (tmp_path / "saved").exists()


def test_a_database_elsewhere_comes_back_into_the_hubs_directory(tmp_path: Path) -> None:
    home = Home(tmp_path / "hub")
    home.initialise(["localhost"], f"sqlite:///{tmp_path}/elsewhere.db", utc_now())
    with closing(Store(home.database())) as store:
        store.prepare()
    backup.back_up(home, tmp_path / "saved", NOW_MS, with_database=True)
    restore((tmp_path / "saved").read_bytes(), tmp_path / "new")
    assert Home(tmp_path / "new").database() == tmp_path / "new" / "hub.db"


def test_what_a_killed_backup_left_is_removed_by_the_next(home: Home, tmp_path: Path) -> None:
    left = tmp_path / backup.WORK_NAME
    left.mkdir(mode=0o700)
    (left / "hub.db").write_text("half")
    (left / "whole").write_text("half")
    backup.back_up(home, tmp_path / "saved", NOW_MS, with_database=True)
    assert not left.exists()


def test_postgresql_is_left_to_pg_dump_and_the_rest_is_backed_up(tmp_path: Path, capsys: Said) -> None:
    home = Home(tmp_path / "hub")
    home.initialise(["localhost"], "postgresql+psycopg://hub@db/kegnet", utc_now())
    file = str(tmp_path / "saved")
    with pytest.raises(UsageError, match="pg_dump"):
        run_hub("backup", file, "--dir", str(home.directory))
    backup.back_up(home, Path(file), NOW_MS, with_database=False)
    assert run_hub("restore", file, "--dir", str(tmp_path / "new")) == 0
    assert "pg_restore" in capsys.readouterr().out
    assert Home(tmp_path / "new").contents() == home.contents()


def test_the_command_says_what_is_missing_afterwards(home: Home, saved: Path, tmp_path: Path, capsys: Said) -> None:
    assert run_hub("restore", str(saved), "--dir", str(tmp_path / "new")) == 0
    assert "is missing here, and devices have removed it" in capsys.readouterr().out


def test_the_hubs_own_files_are_not_written(home: Home, tmp_path: Path, form: Callable[..., bytes]) -> None:
    database = home.directory / "hub.db"
    with closing(Store(home.database())) as store:
        store.prepare()
        before = database.read_bytes()
        backup.back_up(home, tmp_path / "saved", NOW_MS, with_database=True)
        assert database.read_bytes() == before
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
