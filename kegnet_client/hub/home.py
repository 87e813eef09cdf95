"""The hub's directory: keys, certificates, the token, and where the database is.

=============== ===================================================================
ca.crt          what devices pin; the only file here that is meant for others
ca.key          signs server certificates
server.crt      renewed by ``hub run`` by itself
server.key      stays when the certificate is renewed
token           opens everything that shows data
hub.conf        the hub's settings; may hold a password
hub.db          the database, unless ``hub.conf`` names another
=============== ===================================================================

Every file is written whole or not at all, and read by its owner alone (``ca.crt`` and ``server.crt`` by all).

A hub is initialised, or restored, wholly or not at all, too: everything is made in ``.init`` first, and linked into the
directory when all is there; ``ca.crt`` last, which is moved. What an init that was killed has left is known by being
the same file as in ``.init`` while ``ca.crt`` is still there, and the next one removes it; nothing else is removed.
"""

import contextlib
import datetime
import fcntl
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from kegnet_client.config import parse
from kegnet_client.config.edit import clear, fill, render
from kegnet_client.config.secret_file import read_secret
from kegnet_client.config.settings import Config
from kegnet_client.core.errors import ConfigError
from kegnet_client.host.atomic_file import open_directory, sync_directory, write_file
from kegnet_client.host.regular_file import read_regular
from kegnet_client.hub import pki
from kegnet_client.hub.configuration import HEAD, SECTIONS
from kegnet_client.hub.hub_section import HUB
from kegnet_client.hub.store.database import with_password

DEFAULT_DIRECTORY = Path("/var/lib/kegnet-hub")
DIRECTORY_VARIABLE = "KEGNET_HUB_DIR"
DATABASE_NAME = "hub.db"
MAX_FILE_BYTES = 64 * 1024
"""The most that a file of the directory holds, but for the database."""


class Home:
    """The hub's directory at ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.ca_certificate = self.directory / "ca.crt"
        self.ca_key = self.directory / "ca.key"
        self.server_certificate = self.directory / "server.crt"
        self.server_key = self.directory / "server.key"
        self.token_file = self.directory / "token"
        self.settings = self.directory / "hub.conf"
        self._unfinished = self.directory / ".init"

    def refuse_if_initialised(self) -> None:
        """`ConfigError` if anything that `initialising` makes is there, but for what one that was killed has left."""
        there = [path.name for path in self._files() if path.exists() and not self._is_left_over(path)]
        if there:
            raise ConfigError(
                f"{self.directory} is initialised already (it holds {', '.join(there)}), and nothing was changed; "
                "to begin anew, move the directory away or choose another with --dir"
            )

    def refuse_if_not_empty(self) -> None:
        """`ConfigError` if anything is there, but for what one that was killed has left."""
        self.refuse_if_initialised()
        try:
            there = [path for path in self.directory.iterdir() if path != self._unfinished]
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f"{self.directory} cannot be used: {error.strerror}; choose another with --dir") from None
        if any(not self._is_left_over(path) for path in there):
            raise ConfigError(
                f"{self.directory} is not empty, and nothing was changed; move it away or choose another with --dir"
            )

    @contextlib.contextmanager
    def initialising(self, hosts: list[str], database_url: str | None, now: datetime.datetime) -> Iterator["Home"]:
        """The hub in the making, with everything but its database, for whoever makes that; as with `making`."""
        with self.making() as staged:
            staged._make(hosts, database_url, now)
            yield staged

    @contextlib.contextmanager
    def making(self) -> Iterator["Home"]:
        """A hub in the making, without anything, for whoever makes it.

        It becomes this one when the block ends well; else nothing is left. Nothing that is there is overwritten.
        """
        self.refuse_if_initialised()
        is_new = not self.directory.exists()
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._unfinished.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self._unfinished, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise ConfigError(f"{self.directory} cannot be made: {error.strerror}; choose another with --dir") from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(
                    f"another `hub init` or `hub restore` is at work in {self.directory}: wait for it"
                ) from None
            self.refuse_if_initialised()  # by that other one
            try:
                self._remove_left_over()
                yield Home(self._unfinished)
                self._publish()
            except BaseException:
                with contextlib.suppress(ConfigError, OSError):  # the next one tries again
                    self._remove_left_over()
                    self._unfinished.rmdir()
                    if is_new:
                        self.directory.rmdir()
                raise
            shutil.rmtree(self._unfinished)
        finally:
            os.close(lock)

    def initialise(self, hosts: list[str], database_url: str | None, now: datetime.datetime) -> None:
        """Make everything but the database."""
        with self.initialising(hosts, database_url, now):
            pass

    def token(self) -> str:
        """The token that opens what shows data."""
        token = self._read(self.token_file).decode("utf-8", "replace").strip()
        if len(token) < 32 or not token.isascii():
            raise ConfigError(f"{self.token_file} holds no token: put back the one that `kegnet-client hub init` made")
        return token

    def ca(self) -> bytes:
        """The CA certificate, as PEM."""
        return self._read(self.ca_certificate)

    def ca_pair(self) -> tuple[bytes, bytes]:
        """The CA's key and its certificate, as PEM."""
        return self._read(self.ca_key), self._read(self.ca_certificate)

    def contents(self) -> dict[str, bytes]:
        """Everything but the database, by name."""
        there = (path for path in self.kept() if path != self.settings or path.exists())
        return {path.name: self._read(path) for path in there}

    def hosts(self) -> list[str]:
        """The names and addresses that the server certificate is for."""
        return pki.hosts_of(self._read(self.server_certificate))

    def server_pair(self) -> tuple[Path, Path]:
        """The server's certificate and key, for one that opens them by name: both are there and can be read."""
        for path in (self.server_certificate, self.server_key):
            self._read(path)
        return self.server_certificate, self.server_key

    def config(self) -> Config:
        """What hub.conf says; the defaults, where there is none."""
        self._read(self.ca_certificate)
        if not self.settings.exists():
            return parse.parse("", SECTIONS, self.directory, self.settings)
        self._read(self.settings)  # whose remedies are the hub's
        return parse.parse(parse.read(self.settings), SECTIONS, self.directory, self.settings)

    def database(self) -> Path | str:
        """Where the database is: a file of this directory, or a URL with the password that is kept elsewhere."""
        settings = self.config().section(HUB)
        if settings.database is None:
            return self.directory / DATABASE_NAME
        if settings.database_password_file is None:
            return settings.database
        password = read_secret(settings.database_password_file, "databasePasswordFile", "password")
        return with_password(settings.database, password)

    def use_database(self, url: str | None, password_file: Path | None) -> None:
        """Let hub.conf name the database at ``url`` from now on; None is the file of this directory."""
        text = self._read(self.settings).decode() if self.settings.exists() else render(SECTIONS, HEAD)
        values = {"database": url, "database_password_file": None if password_file is None else str(password_file)}
        text = clear(text, HUB, values)
        text = fill(text, HUB, {field: value for field, value in values.items() if value is not None})
        _write(self.settings, text.encode())

    def renew_certificate(self, now: datetime.datetime) -> bool:
        """Issue a new server certificate if the one at hand is due; whether it did."""
        certificate = self._read(self.server_certificate)
        if not pki.needs_renewal(certificate, now):
            return False
        self.issue_certificate(pki.hosts_of(certificate), now)
        return True

    def issue_certificate(self, hosts: list[str], now: datetime.datetime) -> None:
        """Issue a server certificate for ``hosts``, by the same CA and for the same key; a hub that runs takes it."""
        ca_key, ca, key = (self._read(path) for path in (self.ca_key, self.ca_certificate, self.server_key))
        _write(self.server_certificate, pki.issue_server(ca_key, ca, key, hosts, now), mode=0o644)

    def _make(self, hosts: list[str], database_url: str | None, now: datetime.datetime) -> None:
        ca_key, server_key = pki.make_key(), pki.make_key()
        ca = pki.make_ca(ca_key, socket.gethostname(), now)
        _write(self.ca_key, ca_key)
        _write(self.ca_certificate, ca, mode=0o644)
        _write(self.server_key, server_key)
        _write(self.server_certificate, pki.issue_server(ca_key, ca, server_key, hosts, now), mode=0o644)
        _write(self.token_file, secrets.token_urlsafe(32).encode() + b"\n")
        values = {} if database_url is None else {"database": database_url}
        _write(self.settings, fill(render(SECTIONS, HEAD), HUB, values).encode())

    def _publish(self) -> None:
        """Give what is made its name here; without ``ca.crt`` no command takes this for a hub."""
        try:
            staged = self._unfinished / self.ca_certificate.name
            for path in self._unfinished.iterdir():
                if path != staged:
                    os.link(path, self.directory / path.name)
            # In one step it is a hub, and nothing of it is left over: whoever loses ca.crt later loses no more.
            staged.rename(self.ca_certificate)
            sync_directory(self.directory)
        except OSError as error:
            raise ConfigError(f"{self.directory} cannot take the hub's files: {error.strerror}") from None

    def _is_left_over(self, path: Path) -> bool:
        """Whether ``path`` is of an init that was killed: one that ended well has moved its ``ca.crt``."""
        try:
            return self._was_cut_short() and path.samefile(self._unfinished / path.name)
        except FileNotFoundError:
            return False

    def _was_cut_short(self) -> bool:
        return (self._unfinished / self.ca_certificate.name).exists() and not self.ca_certificate.exists()

    def _remove_left_over(self) -> None:
        try:
            # The CA's certificate last: by it the rest is known as left over, if this is cut short as well.
            for made in sorted(self._unfinished.iterdir(), key=lambda path: path.name == self.ca_certificate.name):
                named = self.directory / made.name
                if self._is_left_over(named):
                    named.unlink()
                made.unlink()
        except OSError as error:
            raise ConfigError(f"what is left in {self._unfinished} cannot be removed: {error.strerror}") from None

    def kept(self) -> list[Path]:
        """The files that make this hub what it is, but for the database; there may be no settings."""
        return [
            self.ca_key,
            self.ca_certificate,
            self.server_key,
            self.server_certificate,
            self.token_file,
            self.settings,
        ]

    def _files(self) -> list[Path]:
        return [*self.kept(), self.directory / DATABASE_NAME]

    def _read(self, path: Path) -> bytes:
        try:
            return read_regular(path, MAX_FILE_BYTES)
        except FileNotFoundError:
            if self._was_cut_short():
                remedy = "`kegnet-client hub init` or `hub restore` was cut short, run it again"
            elif any(other.exists() for other in self._files()):
                remedy = "put it back from a backup; the rest of this hub is there"
            else:
                remedy = "run `kegnet-client hub init` first, or name the hub's directory with --dir"
            raise ConfigError(f"{path} is missing: {remedy}") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read ({error.strerror}): run this as the user who owns it") from None


def _write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    try:
        with open_directory(path.parent) as directory:
            write_file(directory, path.name, data, mode)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
