"""Files whose first line is a password or a key of somebody else's server."""

import os
import stat
from pathlib import Path

from kegnet_client.core.errors import ConfigError
from kegnet_client.host.regular_file import open_regular, read_whole

_MAX_BYTES = 4096


def read_secret(path: Path, setting: str, what: str) -> str:
    """The first line of ``path``, which ``setting`` names and which holds a ``what``. Raises `ConfigError`."""
    remedy = f"put the {what} there, on its first line"
    try:
        lines = _read_private(path, setting).decode().splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: {setting}: is no UTF-8 text; {remedy}") from None
    except OSError as error:
        raise ConfigError(f"{path}: {setting}: cannot be read ({error.strerror}); {remedy}") from None
    if not lines or not lines[0]:
        raise ConfigError(f"{path}: {setting}: holds no {what}; {remedy}")
    if not lines[0].isprintable():
        raise ConfigError(f"{path}: {setting}: holds a character that cannot be seen; write it anew")
    return lines[0]


def _read_private(path: Path, setting: str) -> bytes:
    fd = open_regular(path)
    try:
        if os.fstat(fd).st_mode & stat.S_IRWXO:
            raise ConfigError(f"{path}: {setting}: is open to others; run chmod o= {path}")
        return read_whole(fd, _MAX_BYTES)
    finally:
        os.close(fd)
