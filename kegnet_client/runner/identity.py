"""Who this device is for a database of programs: its MacID, its user, and a password made at the first start."""

import contextlib
import os
import pwd
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kegnet_client.core.errors import ConfigError
from kegnet_client.host.atomic_file import open_directory, owner_in, write_file
from kegnet_client.host.regular_file import read_regular

PASSWORD = "password"  # noqa: S105 (the name of its file)
USER = "kegnet-runner"
"""Who runs programs on a device that was installed."""
INTERFACES = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Identity:
    """``uuid`` is None where this device is none of a KegNet server."""

    uuid: str | None
    mac_id: int
    user: str
    password: str

    @property
    def names(self) -> frozenset[str]:
        """All that a document may call it."""
        return frozenset({str(self.mac_id)} | ({self.uuid.lower()} if self.uuid else set()))


def find_mac_id(interfaces: Path = INTERFACES) -> int:
    """The MAC of eth0, else of the first interface that is a device, as a number. Raises `ConfigError`."""
    places = [interfaces / "eth0", *sorted(one for one in interfaces.glob("*") if (one / "device").exists())]
    for place in places:
        try:
            mac_id = int((place / "address").read_text("ascii").strip().replace(":", ""), 16)
        except (OSError, ValueError):
            continue
        if mac_id:
            return mac_id
    raise ConfigError("this machine has no network interface with a MAC: write [Runner] macId")


def make_directory(directory: Path) -> None:
    """Make the runner's directory if it is missing; root makes it for `USER`, where that is here.

    Raises `ConfigError`.
    """
    try:
        directory.mkdir(mode=0o700)
        if os.geteuid() == 0:
            with contextlib.suppress(KeyError):
                user = pwd.getpwnam(USER)
                os.chown(directory, user.pw_uid, user.pw_gid)
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be made: {error.strerror}; start the runner's service first") from None


def load_password(directory: Path) -> str:
    """What is in the file, which is made if it is missing, for the directory's owner. Raises `ConfigError`."""
    path = directory / PASSWORD
    try:
        text = read_regular(path, 1024).decode("utf-8").strip()
    except FileNotFoundError:
        text = secrets.token_urlsafe(24)
        try:
            with open_directory(directory) as fd:
                write_file(fd, PASSWORD, f"{text}\n".encode(), 0o600, owner_in(fd))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; run this as the user who owns it") from None
    if not text:
        raise ConfigError(f"{path}: is empty; remove it, and a new one is made")
    return text


def own_address(url: str) -> str | None:
    """The address that this machine has towards the server of ``url``; nothing is sent."""
    parts = urlsplit(url)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.connect((parts.hostname or "", parts.port or 443))
            return str(one.getsockname()[0])
    except OSError:
        return None
