"""A hub in one file, and out of it again: its keys, certificates, token, settings and SQLite database.

A backup is made beside the running hub, by another process, and appears under its name when all of it is on disk.
Until then it is in a directory of its own beside that name, which belongs to this user alone; what a backup that was
killed has left there, the next one into the same directory removes.

A restored hub is the same one to its devices. It lacks what was acknowledged after the backup was made.
"""

import contextlib
import re
import tempfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from kegnet_client.core.errors import ConfigError
from kegnet_client.host.atomic_file import open_directory, write_file
from kegnet_client.hub import archive
from kegnet_client.hub.archive import ArchiveError
from kegnet_client.hub.home import DATABASE_NAME, MAX_FILE_BYTES, Home
from kegnet_client.hub.hub_section import HUB
from kegnet_client.hub.new_file import write_new
from kegnet_client.hub.store.snapshot import copy_database, find_damage

OnStep = Callable[[str, int], None]
"""Is called with what is done, and how many bytes more of it are."""

COPYING = "copying the database"
CHECKING = "checking the database"
WRITING = "MB written"
READING = "MB read"
WORK_NAME = ".kegnet-hub-backup"
_FOR_ALL = ("ca.crt", "server.crt")
_DATABASE_LINE = re.compile(r"^[ \t]*database[ \t]*[=:].*$", re.MULTILINE | re.IGNORECASE)


def _say_nothing(_what: str, _count: int) -> None:
    pass


def back_up(home: Home, file: Path, now_ms: int, *, with_database: bool, on_step: OnStep = _say_nothing) -> int:
    """Write the hub in ``home`` to ``file``, which is new; its size in bytes."""

    def fill(stream: BinaryIO, work: Path) -> None:
        _write(home, stream, work, now_ms, on_step, with_database=with_database)

    try:
        return write_new(file, WORK_NAME, fill)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}; no backup was made") from None


def stream_out(
    home: Home, stream: BinaryIO, now_ms: int, *, with_database: bool, on_step: OnStep = _say_nothing
) -> None:
    """Write the hub in ``home`` to ``stream``; the database is copied to the directory of temporary files first."""
    try:
        with tempfile.TemporaryDirectory(prefix=WORK_NAME) as work:
            _write(home, stream, Path(work), now_ms, on_step, with_database=with_database)
            stream.flush()
    except OSError as error:
        raise ConfigError(f"the backup cannot be written: {error.strerror}") from None


def restore(home: Home, stream: BinaryIO, on_step: OnStep = _say_nothing) -> tuple[int, bool]:
    """Make what ``stream`` holds the hub in ``home``, or nothing; when it was made (Unix ms), if with a database."""
    home.refuse_if_not_empty()
    with home.making() as staged:
        try:
            return _unpack(staged, stream, on_step)
        except OSError as error:
            raise ConfigError(f"{home.directory} cannot take it: {error.strerror}; nothing was restored") from None


def _unpack(staged: Home, stream: BinaryIO, on_step: OnStep) -> tuple[int, bool]:
    allowed: dict[str, int | None] = dict.fromkeys((path.name for path in staged.kept()), MAX_FILE_BYTES)
    most_bytes = {**allowed, DATABASE_NAME: None}
    made_ms, members = archive.unpack(stream, staged.directory, most_bytes, partial(on_step, READING))
    names = {member.name for member in members}
    lacking = [path.name for path in staged.kept() if path != staged.settings and path.name not in names]
    if lacking:
        raise ArchiveError(f"the backup has no {', no '.join(lacking)}")
    for name in _FOR_ALL:
        (staged.directory / name).chmod(0o644)
    if DATABASE_NAME not in names:
        return made_ms, False
    on_step(CHECKING, 0)
    damage = find_damage(staged.directory / DATABASE_NAME)
    if damage is not None:
        raise ArchiveError(f"the database in the backup is damaged: {damage}")
    _use_own_database(staged)
    return made_ms, True


def _write(home: Home, stream: BinaryIO, work: Path, now_ms: int, on_step: OnStep, *, with_database: bool) -> None:
    with contextlib.ExitStack() as stack:
        sources: dict[str, BinaryIO] = {}
        for name, content in home.contents().items():
            sources[name] = BytesIO(content)
        if with_database:
            copy = work / DATABASE_NAME
            on_step(COPYING, 0)
            copy_database(_sqlite_file(home), copy)
            on_step(CHECKING, 0)
            damage = find_damage(copy)
            if damage is not None:
                raise ConfigError(f"the hub's database is damaged ({damage}), and no backup was made of it")
            sources[DATABASE_NAME] = stack.enter_context(copy.open("rb"))
            copy.unlink()
        archive.write(stream, sources, now_ms, partial(on_step, WRITING))


def is_sqlite(home: Home) -> bool:
    """Whether the hub's database is a file, which a backup can hold."""
    database = home.database()
    return isinstance(database, Path) or database.startswith("sqlite:")


def _sqlite_file(home: Home) -> Path:
    database = home.database()
    return database if isinstance(database, Path) else Path(database.removeprefix("sqlite:///"))


def _use_own_database(staged: Home) -> None:
    """Where hub.conf names a SQLite file, the one that is restored beside it takes its place."""
    if staged.settings.exists() and isinstance(staged.database(), str):
        (line,) = (one.shipped_line for one in HUB.settings if one.field == "database")
        text = _DATABASE_LINE.sub(lambda _: line, staged.settings.read_text())
        with open_directory(staged.directory) as directory:
            write_file(directory, staged.settings.name, text.encode(), 0o600)
    if staged.database() != staged.directory / DATABASE_NAME:
        raise ArchiveError("the backup's hub.conf names another database than the one in the backup")
