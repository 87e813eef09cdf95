"""Files that are whole or absent, also after a power cut: temp file, fsync, rename, fsync of the directory.

`write_file` takes a name relative to an open directory, so that one that is moved away meanwhile stays one place.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

TEMP_SUFFIX = ".tmp"


def write_file(directory_fd: int, name: str, data: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Make or replace ``name`` with ``data``; what stood there before stays until the new bytes are on disk.

    ``mode`` is exact, whatever the umask; ``owner`` as with `prepare_file`. Raises `OSError`, and leaves nothing behind
    then.
    """
    temp = prepare_file(directory_fd, data, mode, owner)
    _put_in_place(directory_fd, temp, name)
    os.fsync(directory_fd)


def write_volatile_file(directory_fd: int, name: str, data: bytes, mode: int) -> None:
    """As `write_file`, for what a power cut may have: nothing waits for the disk."""
    # Always the same name, because it is written often: what a crash left there goes.
    temp = f".{name}{TEMP_SUFFIX}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temp, dir_fd=directory_fd)
    _fill(directory_fd, temp, data, mode, None, is_durable=False)
    _put_in_place(directory_fd, temp, name)


def prepare_file(directory_fd: int, data: bytes, mode: int, owner: tuple[int, int] | None = None) -> str:
    """A temporary file with ``data`` on disk, to be renamed into its place; its name.

    ``owner`` (user and group) gets it where that is allowed.
    """
    # A name of its own each time: what a crash left must not be in the way for ever.
    temp = f".{secrets.token_hex(8)}{TEMP_SUFFIX}"
    _fill(directory_fd, temp, data, mode, owner, is_durable=True)
    return temp


def owner_in(directory_fd: int) -> tuple[int, int] | None:
    """Whose a new file in the directory has to be: what root makes is its owner's. None for whoever makes it."""
    if os.geteuid() != 0:
        return None
    directory = os.fstat(directory_fd)
    return directory.st_uid, directory.st_gid


def _fill(
    directory_fd: int, temp: str, data: bytes, mode: int, owner: tuple[int, int] | None, *, is_durable: bool
) -> None:
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=directory_fd)
    try:
        try:
            if owner is not None:
                with contextlib.suppress(PermissionError):  # only root may give files away
                    os.fchown(fd, *owner)
            os.fchmod(fd, mode)
            write_all(fd, data)
            if is_durable:
                os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp, dir_fd=directory_fd)
        raise


def _put_in_place(directory_fd: int, temp: str, name: str) -> None:
    try:
        os.rename(temp, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp, dir_fd=directory_fd)
        raise


def write_all(fd: int, data: bytes) -> None:
    """Write every byte of ``data``: one ``write`` may take less, for instance where the disk is nearly full."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """What was renamed, made or removed in the directory ``path`` survives a power cut from here on."""
    with open_directory(path) as fd:
        os.fsync(fd)


@contextlib.contextmanager
def open_directory(path: Path) -> Iterator[int]:
    """A descriptor of the directory ``path``."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
