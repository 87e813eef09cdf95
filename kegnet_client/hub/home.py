"""The hub's directory: keys, certificates, the token, and where the database is.

=============== ===================================================================
ca.crt          what devices pin; the only file here that is meant for others
ca.key          signs server certificates
server.crt      renewed by ``hub run`` by itself
server.key      stays when the certificate is renewed
token           opens everything that shows data
hub.conf        only if the database is elsewhere: its URL, which may hold a password
hub.db          the database, unless ``hub.conf`` names another
=============== ===================================================================

Every file is written whole or not at all, and read by its owner alone (``ca.crt`` and ``server.crt`` by all).
"""

import configparser
import datetime
import os
import secrets
import socket
import tempfile
from pathlib import Path

from kegnet_client.core.errors import ConfigError
from kegnet_client.host.regular_file import read_regular
from kegnet_client.hub import pki

DEFAULT_DIRECTORY = Path("/var/lib/kegnet-hub")
DIRECTORY_VARIABLE = "KEGNET_HUB_DIR"
DATABASE_NAME = "hub.db"
_MAX_FILE_BYTES = 64 * 1024


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

    def refuse_if_initialised(self) -> None:
        """`ConfigError` if anything that `initialise` makes is there."""
        there = [path.name for path in self._files() if path.exists()]
        if there:
            raise ConfigError(
                f"{self.directory} is initialised already (it holds {', '.join(there)}), and nothing was changed; "
                "to begin anew, move the directory away or choose another with --dir"
            )

    def initialise(self, hosts: list[str], database_url: str | None, now: datetime.datetime) -> None:
        """Make everything but the database. Nothing that is there is overwritten."""
        self.refuse_if_initialised()
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.directory} cannot be made: {error.strerror}; choose another with --dir") from None
        ca_key, server_key = pki.make_key(), pki.make_key()
        ca = pki.make_ca(ca_key, socket.gethostname(), now)
        write_file(self.ca_key, ca_key)
        write_file(self.ca_certificate, ca, mode=0o644)
        write_file(self.server_key, server_key)
        write_file(self.server_certificate, pki.issue_server(ca_key, ca, server_key, hosts, now), mode=0o644)
        write_file(self.token_file, secrets.token_urlsafe(32).encode() + b"\n")
        if database_url is not None:
            write_file(self.settings, f"[hub]\n# An SQLAlchemy URL.\ndatabase = {database_url}\n".encode())

    def token(self) -> str:
        """The token that opens what shows data."""
        token = self._read(self.token_file).decode("utf-8", "replace").strip()
        if len(token) < 32 or not token.isascii():
            raise ConfigError(f"{self.token_file} holds no token: put back the one that `kegnet-client hub init` made")
        return token

    def ca(self) -> bytes:
        """The CA certificate, as PEM."""
        return self._read(self.ca_certificate)

    def hosts(self) -> list[str]:
        """The names and addresses that the server certificate is for."""
        return pki.hosts_of(self._read(self.server_certificate))

    def server_pair(self) -> tuple[Path, Path]:
        """The server's certificate and key, for one that opens them by name: both are there and can be read."""
        for path in (self.server_certificate, self.server_key):
            self._read(path)
        return self.server_certificate, self.server_key

    def database(self) -> Path | str:
        """Where the database is: a file of this directory, or a URL."""
        self._read(self.ca_certificate)
        if not self.settings.exists():
            return self.directory / DATABASE_NAME
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(self._read(self.settings).decode())
            return parser.get("hub", "database")
        except (configparser.Error, UnicodeDecodeError) as error:
            why = " ".join(str(error).split())
            raise ConfigError(f"{self.settings} is unusable ({why}): it holds [hub] and database = URL") from None

    def renew_certificate(self, now: datetime.datetime) -> bool:
        """Issue a new server certificate if the one at hand is due; whether it did."""
        certificate = self._read(self.server_certificate)
        if not pki.needs_renewal(certificate, now):
            return False
        ca_key, ca, key = (self._read(path) for path in (self.ca_key, self.ca_certificate, self.server_key))
        renewed = pki.issue_server(ca_key, ca, key, pki.hosts_of(certificate), now)
        write_file(self.server_certificate, renewed, mode=0o644)
        return True

    def _files(self) -> list[Path]:
        return [
            self.ca_key,
            self.ca_certificate,
            self.server_key,
            self.server_certificate,
            self.token_file,
            self.settings,
            self.directory / DATABASE_NAME,
        ]

    def _read(self, path: Path) -> bytes:
        try:
            return read_regular(path, _MAX_FILE_BYTES)
        except FileNotFoundError:
            if any(other.exists() for other in self._files()):
                remedy = "put it back from a backup; the rest of this hub is there"
            else:
                remedy = "run `kegnet-client hub init` first, or name the hub's directory with --dir"
            raise ConfigError(f"{path} is missing: {remedy}") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read ({error.strerror}): run this as the user who owns it") from None


def write_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write ``path`` whole or not at all, so that it survives a power cut."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).rename(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
