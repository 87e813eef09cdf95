"""Who delivers from a spool: one process, which holds a lock that is named after the directory's device and inode.

The lock's file is not in the spool, where the group writes, but where only the spool's owner can: in
``/run/kegnet-client``, which the installer makes, if that is the owner's or the spool is root's; else in ``.state``
beside the spool, wherever links to it lead from. So whoever starts, from whatever root and as whichever user, finds
the same file. A version up to 0.1.0 locks the spool directory itself and is not seen from here.

Limits: of a spool that is mounted at two places and not the installed one, each has a lock of its own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kegnet_client.core.errors import SpoolError, SpoolInUseError
from kegnet_client.host.lock_file import is_locked, take_lock
from kegnet_client.host.state_file import RUN_DIRECTORY

BESIDE = ".state"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def lock_spool(path: Path, spool_fd: int, run_directory: Path = RUN_DIRECTORY) -> int:
    """A descriptor that makes this process the one that delivers from the spool at ``path``, open as ``spool_fd``.

    `SpoolInUseError` when there is one, `SpoolError` when the lock cannot be had.
    """
    try:
        with _lock_directory(path, spool_fd, run_directory, make=True) as directory_fd:
            fd = take_lock(directory_fd, _name(spool_fd))
    except OSError as error:
        raise SpoolError(f"{path}: cannot be locked: {_explain(error, path, spool_fd)}") from error
    if fd is None:
        raise SpoolInUseError(
            f"{path}: another kegnet-client delivers from this spool; stop it first (systemctl stop kegnet-client)"
        )
    return fd


def is_delivered_from(path: Path, spool_fd: int, run_directory: Path = RUN_DIRECTORY) -> bool:
    """Whether a process delivers from the spool at ``path``, which is not disturbed; `SpoolError` when it is secret."""
    try:
        with _lock_directory(path, spool_fd, run_directory, make=False) as directory_fd:
            return is_locked(directory_fd, _name(spool_fd))
    except FileNotFoundError:
        return False
    except OSError as error:
        why = _explain(error, path, spool_fd)
        raise SpoolError(f"{path}: whether something delivers from it is not to be seen: {why}") from error


def find_unlockable(path: Path, spool_fd: int, run_directory: Path = RUN_DIRECTORY) -> str | None:
    """Why this user, who owns the spool at ``path``, could not lock it, and what to do; nothing is made.

    None where he could, and for other users: it is not their matter.
    """
    if not _is_owner(spool_fd):
        return None
    try:
        with _lock_directory(path, spool_fd, run_directory, make=False) as directory_fd:
            is_writable = os.access(".", os.W_OK, dir_fd=directory_fd, effective_ids=True)
    except FileNotFoundError:
        is_writable = os.access(_beside(path).parent, os.W_OK, effective_ids=True)
    except OSError as error:
        return _explain(error, path, spool_fd)
    return None if is_writable else _not_ours(path)


@contextmanager
def _lock_directory(path: Path, spool_fd: int, run_directory: Path, *, make: bool) -> Iterator[int]:
    fd = _open_directory(path, os.fstat(spool_fd).st_uid, run_directory, make=make)
    try:
        yield fd
    finally:
        os.close(fd)


def _open_directory(path: Path, owner: int, run_directory: Path, *, make: bool) -> int:
    try:
        fd = os.open(run_directory, _DIRECTORY)
    except OSError:
        pass  # this machine has none
    else:
        if owner in (0, os.fstat(fd).st_uid):
            return fd
        os.close(fd)
    where = _beside(path)
    parent_fd = os.open(where.parent, _DIRECTORY)
    try:
        if make:
            _make_beside(parent_fd, owner)
        try:
            fd = os.open(BESIDE, _DIRECTORY, dir_fd=parent_fd)
        except NotADirectoryError:
            raise OSError(f"{where} is not a directory, and no link to one will do; move it away") from None
        status = os.fstat(fd)
        is_safe = status.st_uid in (0, owner, os.fstat(parent_fd).st_uid) and not status.st_mode & 0o022
    finally:
        os.close(parent_fd)
    if not is_safe:
        os.close(fd)
        raise OSError(
            f"others than the spool's owner may write to {where}; move it away, or: chown -R {owner} {where}; "
            f"chmod go-w {where}"
        )
    return fd


def _make_beside(parent_fd: int, owner: int) -> None:
    try:
        os.mkdir(BESIDE, 0o755, dir_fd=parent_fd)
    except FileExistsError:
        return
    if os.geteuid() == 0:
        os.chown(BESIDE, owner, -1, dir_fd=parent_fd, follow_symlinks=False)


def _name(spool_fd: int) -> str:
    status = os.fstat(spool_fd)
    return f"spool-{status.st_dev}-{status.st_ino}.lock"


def _beside(path: Path) -> Path:
    return Path(os.path.realpath(path)).parent / BESIDE


def _is_owner(spool_fd: int) -> bool:
    return os.geteuid() == os.fstat(spool_fd).st_uid


def _explain(error: OSError, path: Path, spool_fd: int) -> str:
    if isinstance(error, PermissionError):
        if _is_owner(spool_fd):
            return _not_ours(path)
        return "this user may not; only the owner of the spool and root deliver from it (sudo)"
    return error.strerror or str(error)


def _not_ours(path: Path) -> str:
    where = _beside(path)
    # With all that is in it: the lock's file may be of an owner that the spool had before.
    remedy = f"sudo mkdir -p {where} && sudo chown -R {os.geteuid()} {where}"
    return f"its lock is in {where}, which has to be this user's own: {remedy}"
