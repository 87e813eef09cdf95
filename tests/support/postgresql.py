"""A PostgreSQL server of the tests' own, with an empty database for whoever asks."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from .waits import WAIT_S, wait_until

GUARDED = "guarded"
"""Who has to say a password."""
SUPERUSER = "postgres"
"""Also the account that it runs as where the tests are root's: PostgreSQL refuses to be root."""


class PostgreSQL:
    """The server whose files and socket are in ``directory``; it listens on no network."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count(1)

    def make_database(self) -> str:
        """The URL of a new empty database, as the hub takes it."""
        name = f"hub_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://{SUPERUSER}@/{name}?host={self._directory}"

    def make_guarded_database(self, password: str) -> str:
        """The URL of a new empty database that asks for ``password``, which is not in it."""
        name = f"hub_{next(self._numbers)}"
        with self.connect() as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [GUARDED]).fetchone() is None:
                connection.execute(f"CREATE ROLE {GUARDED} LOGIN".encode())
            connection.execute(f"ALTER ROLE {GUARDED} PASSWORD '{password}'".encode())
            connection.execute(f"CREATE DATABASE {name} OWNER {GUARDED}".encode())
        return f"postgresql+psycopg://{GUARDED}@/{name}?host={self._directory}"

    def connect(self) -> psycopg.Connection:
        """A connection beside the hub's own, whose statements are each committed at once."""
        return psycopg.connect(user=SUPERUSER, dbname="postgres", host=str(self._directory), autocommit=True)

    def count_waiting(self) -> int:
        """How many connections wait for a lock that another one holds."""
        with self.connect() as connection:
            row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def running() -> Iterator[PostgreSQL]:
    """A server with files of its own, which runs until the end."""
    account = SUPERUSER if os.geteuid() == 0 else None
    directory = Path(
        tempfile.mkdtemp(prefix="kegnet-postgresql-")
    )  # not below pytest's own, which its account may not enter
    try:
        if account is not None:
            shutil.chown(directory, account)
        data = directory / "data"
        subprocess.run(
            [_find("initdb"), "--pgdata", data, "--username", SUPERUSER, "--auth", "trust", "--no-sync"],
            check=True,
            capture_output=True,
            timeout=WAIT_S,
            cwd=directory,
            user=account,
        )
        logins = data / "pg_hba.conf"
        logins.write_text(f"local all {GUARDED} scram-sha-256\n{logins.read_text()}")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": directory,
            "fsync": "off",
            "max_connections": 200,
        }
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(
                [_find("postgres"), "-D", data, *(f"--{name}={value}" for name, value in settings.items())],
                stdout=log,
                stderr=log,
                cwd=directory,
                user=account,
            )
        try:
            postgresql = PostgreSQL(directory)
            wait_until(lambda: _answers(server, postgresql), "PostgreSQL does not answer")
            yield postgresql
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: what it holds is thrown away
            server.wait(WAIT_S)
    finally:
        shutil.rmtree(directory)


def _answers(server: "subprocess.Popen[bytes]", postgresql: PostgreSQL) -> bool:
    assert server.poll() is None, "PostgreSQL has ended"
    try:
        postgresql.connect().close()
    except psycopg.OperationalError:
        return False
    return True


def _find(program: str) -> Path:
    """Where Debian keeps ``program`` of the newest version that is installed; it puts it on nobody's path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which(program)
    assert found or on_path, f"{program} is missing: install what Debian calls postgresql"
    return found[-1] if found else Path(str(on_path))
