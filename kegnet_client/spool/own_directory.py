"""Directories in the spool that are the delivering process's own.

Security: a member of the spool's group may put anything under any name into the spool, so under theirs too, before
there is one. So each is used only if it belongs to the owner of the spool, to root or to this user, and is reached
through descriptors that follow no link.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_own(parent_fd: int, name: str) -> Iterator[int]:
    """The directory ``name`` in the one that is open as ``parent_fd``. Raises `OSError`."""
    fd = os.open(name, _DIRECTORY, dir_fd=parent_fd)
    try:
        owner = os.fstat(fd).st_uid
        if owner not in (0, os.fstat(parent_fd).st_uid, os.geteuid()):
            raise OSError(
                f"it belongs to {_user(owner)}, who is neither the owner of the spool nor root; see what is in it, "
                "then move it elsewhere (sudo mv), and a new one is made in its place"
            )
        yield fd
    finally:
        os.close(fd)


def make_own(parent_fd: int, name: str, mode: int) -> None:
    """Make the directory ``name`` in the one that is open as ``parent_fd``, unless something stands there."""
    try:
        os.mkdir(name, mode, dir_fd=parent_fd)
    except FileExistsError:
        return
    if os.geteuid() == 0:
        # `sudo kegnet-client send` must not make one that the service cannot use.
        owner = os.fstat(parent_fd)
        os.chown(name, owner.st_uid, owner.st_gid, dir_fd=parent_fd, follow_symlinks=False)
    os.fsync(parent_fd)


def _user(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"
