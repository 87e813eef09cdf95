"""The hub moved from one database to another: SQLite to PostgreSQL, or back.

The new database is no hub's until all of it is there: `schema.MOVING` stands for its version. The old one is the hub's
until every row was compared, and then takes nothing more (`kegnet_client.hub.store.fence`). So whatever is killed when,
there is one database that a hub may use, no record is acknowledged into the other one, and the next attempt goes on.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, insert, inspect, make_url, select, update
from sqlalchemy.exc import SQLAlchemyError

from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.hub.home import DATABASE_NAME, Home
from kegnet_client.hub.store import fence, schema, transfer
from kegnet_client.hub.store.database import Database, StoreError
from kegnet_client.hub.store.engines import make_patient_engine

WAIT_S = 60.0
"""For whoever writes into one of the two at the beginning."""
_TOLD = (schema.keys, schema.invitations, schema.tokens, schema.entries)
"""A hub of which somebody has made use has rows in one of these."""

OnTotal = Callable[[int], transfer.OnRow]
"""Given the number of steps that there are, it gives what is called at each."""


def name_of(database: Path | str | URL) -> str:
    """``database`` as people may see it."""
    return _url_of(database).render_as_string(hide_password=True)


def move(source: Path | str, target: str, on_total: OnTotal) -> None:
    """Put all that is in ``source`` into ``target``, which becomes the hub's, and let ``source`` take nothing more.

    Raises `UsageError` where ``target`` is not empty, `StoreError` or `TransferError` where it cannot be done now: the
    next attempt goes on.
    """
    here_url, there_url = _url_of(source), _url_of(target)
    try:
        moved_to = _read_target(here_url)
        if moved_to is None:
            with closing(Database(source)) as old:
                old.prepare()  # up to date
        elif moved_to != name_of(target):
            raise UsageError(f"{name_of(source)} was moved to {moved_to} already: only there it can be moved again")
        _make_private(there_url)
        with _connected(here_url) as here, _connected(there_url) as there:
            if moved_to is None:
                _prepare(there, there_url)
                _move(here, there, name_of(target), on_total)
            _finish(there, there_url)
    except SQLAlchemyError as error:
        raise StoreError(f"the hub cannot be moved now: {_told(error)}") from error


def refuse_if_left_behind(home: Home) -> None:
    """`ConfigError` if hub.conf names an empty database, while the hub is still in the file beside hub.conf."""
    database, own = home.database(), home.directory / DATABASE_NAME
    if isinstance(database, Path) or _url_of(database) == _url_of(own) or not own.exists():
        return
    with closing(Database(own)) as beside:
        if beside.read(_is_unused) or beside.read(fence.read_target) is not None:
            return
    with closing(Database(database)) as named:
        if named.read(_is_unused):
            raise ConfigError(
                f"{own} holds this hub, and the database that {home.settings.name} names is empty: move it there with "
                f"`kegnet-client hub migrate --to {name_of(database)}`, or move {DATABASE_NAME} away to begin anew"
            )


def _move(here: Connection, there: Connection, target: str, on_total: OnTotal) -> None:
    with here.begin():
        fence.lock(here)
        on_row = on_total(2 * transfer.count_rows(here))
        transfer.copy(here, there, on_row)
        transfer.compare(here, there, on_row)
        fence.put_up(here, target)


def _prepare(there: Connection, url: URL) -> None:
    """Make the tables where there are none; `UsageError` where there is a hub."""
    with there.begin():
        schema.lock(there)
        version = schema.version_of(there)
        if version is None and not inspect(there).has_table(schema.pours.name):
            schema.metadata.create_all(there)
            there.execute(insert(schema.versions).values(version_num=schema.MOVING))
        elif version == schema.VERSION and _is_unused(there):
            there.execute(update(schema.versions).values(version_num=schema.MOVING))
        elif version != schema.MOVING:
            raise UsageError(f"{name_of(url)} holds a hub already, and nothing was changed: choose an empty database")


def _finish(there: Connection, url: URL) -> None:
    """Let ``there``, which was compared, be a hub's."""
    with there.begin():
        version = schema.version_of(there)
        if version not in (schema.MOVING, schema.VERSION):
            raise StoreError(f"{name_of(url)} does not hold the hub that was moved there: put it back from a backup")
        there.execute(update(schema.versions).values(version_num=schema.VERSION))


def _is_unused(connection: Connection) -> bool:
    """Whether nobody has made use of a hub with this database; one that is being filled is none's yet."""
    if schema.version_of(connection) is None:
        return not inspect(connection).has_table(schema.pours.name)
    return not any(connection.execute(select(table).limit(1)).first() for table in _TOLD)


def _read_target(url: URL) -> str | None:
    with closing(Database(url.render_as_string(hide_password=False))) as database:
        return database.read(fence.read_target)


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    with make_patient_engine(url, WAIT_S).connect() as connection:
        yield connection


def _make_private(url: URL) -> None:
    """A SQLite file that is new belongs to this user alone."""
    if url.get_backend_name() == "sqlite":
        try:
            with suppress(FileExistsError):
                os.close(os.open(str(url.database), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(f"{url.database} cannot be made: {error.strerror}") from None


def _url_of(database: Path | str | URL) -> URL:
    return URL.create("sqlite", database=str(database)) if isinstance(database, Path) else make_url(database)


def _told(error: SQLAlchemyError) -> str:
    return " ".join(str(getattr(error, "orig", error)).split())
