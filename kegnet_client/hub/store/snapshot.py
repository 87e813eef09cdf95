"""A SQLite database copied while others use it, and looked at before it is trusted.

The copy is one read transaction: it holds all that was committed before it began. Writers go on beside it, since the
database is in WAL mode; only the log grows meanwhile. It is made in one step, because a copy in several begins anew
whenever another process writes between two of them, and may never end.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from kegnet_client.hub.store.database import StoreError

_PATIENCE_S = 10.0


def copy_database(source: Path, target: Path) -> None:
    """Make ``target`` the database at ``source`` as it is now. Raises `StoreError`; ``target`` is not on disk yet."""
    if not source.exists():
        raise StoreError(f"{source} is missing: put it back from a backup")
    try:
        # Read only: closing it must not write the log into the database's file, which the hub has an eye on.
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S)) as here,
            closing(sqlite3.connect(target)) as there,
        ):
            there.execute("PRAGMA synchronous=OFF")  # what a power cut leaves of it is of no use anyway
            here.backup(there, pages=-1)
    except sqlite3.Error as error:
        raise StoreError(f"{source} cannot be copied: {error}") from None


def find_damage(database: Path) -> str | None:
    """What is wrong with the database's file, which nobody else uses; None if it is sound."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'pours'").fetchone()
    except sqlite3.Error as error:
        return str(error)
    if found != "ok":
        return str(found)
    return None if tables == (1,) else "it is no hub's database"
