"""A large new file, or a directory of them: under its name when all of it is on disk, and in nobody's place.

Until then it is in a directory beside that name, which belongs to this user alone; what a process that was killed has
left there, the next one into the same directory removes.
"""

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.host.atomic_file import sync_directory


def check_new(file: Path) -> None:
    """`UsageError` if there is anything at ``file``, or no directory for it."""
    if os.path.lexists(file):
        raise UsageError(f"{file} is there already, and is not overwritten: choose another name, or move it away")
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent} is no directory: make it first, or choose another")


def write_new(file: Path, work_name: str, fill: Callable[[BinaryIO, Path], None]) -> int:
    """Make ``file``, this user's alone, of what ``fill`` writes; its size in bytes.

    ``fill`` is given a directory for what it needs meanwhile, too. Raises `OSError` where the disk does not take it.
    """
    check_new(file)
    with _working_in(file.parent, work_name) as work:
        whole = work / "whole"
        with _open_new(whole) as stream:
            fill(stream, work)
            stream.flush()
            os.fsync(stream.fileno())
        size = whole.stat().st_size
        _give_name(whole, file)
        sync_directory(file.parent)
        return size


def write_new_directory(directory: Path, work_name: str, fill: Callable[[Callable[[str], BinaryIO]], None]) -> None:
    """Make ``directory``, this user's alone, with the files that ``fill`` opens by their names and writes.

    Raises `OSError` where the disk does not take them.
    """
    check_new(directory)
    with _working_in(directory.parent, work_name) as work, contextlib.ExitStack() as stack:
        whole = work / "whole"
        whole.mkdir(mode=0o700)
        streams: list[BinaryIO] = []

        def open_new(name: str) -> BinaryIO:
            streams.append(stack.enter_context(_open_new(whole / name)))
            return streams[-1]

        fill(open_new)
        for stream in streams:
            stream.flush()
            os.fsync(stream.fileno())
        sync_directory(whole)
        check_new(directory)
        whole.rename(directory)
        sync_directory(directory.parent)


def _open_new(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


@contextlib.contextmanager
def _working_in(parent: Path, name: str) -> Iterator[Path]:
    """A directory in ``parent`` that is this process's own, and is gone in the end."""
    work = parent / name
    with contextlib.suppress(FileExistsError):
        work.mkdir(mode=0o700)
    fd = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
            raise ConfigError(f"{work} is not this user's own: remove it, or choose another directory")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"another one is being written into {parent}: wait for it") from None
        for left in work.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(fd)


def _give_name(whole: Path, file: Path) -> None:
    try:
        os.link(whole, file)  # which replaces nothing, unlike a rename
    except FileExistsError:
        raise UsageError(f"{file} has appeared meanwhile, and is not overwritten: choose another name") from None
    except OSError:  # a file system without links, such as a USB stick's
        check_new(file)
        whole.rename(file)
