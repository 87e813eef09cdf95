"""Files that are whole or absent, also after a power cut: temp file, fsync, rename, fsync of the directory.

`write_file` takes a name relative to an open directory, so that one that is moved away meanwhile stays one place.
"""

import contextlib
import os
import secrets
from pathlib import Path

TEMP_SUFFIX = ".tmp"


def write_file(directory_fd: int, name: str, data: bytes, mode: int) -> None:
    """Make or replace ``name`` with ``data``; what stood there before stays until the new bytes are on disk.

    ``mode`` is exact, whatever the umask. Raises `OSError`, and leaves nothing behind then.
    """
    # A name of its own each time: what a crash left must not be in the way for ever.
    temp = f".{secrets.token_hex(8)}{TEMP_SUFFIX}"
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=directory_fd)
    try:
        try:
            os.fchmod(fd, mode)
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temp, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp, dir_fd=directory_fd)
        raise
    os.fsync(directory_fd)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte of ``data``: one ``write`` may take less, for instance where the disk is nearly full."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """What was renamed, made or removed in the directory ``path`` survives a power cut from here on."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
