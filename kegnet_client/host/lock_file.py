"""A lock that only those can take who may write to the file that stands for it.

``flock`` takes a descriptor that is open for reading, so a lock on anything that others can read is one that they can
hold. This one is a file of mode 0600, in a directory that the caller has judged. The lock belongs to the open
file (an open file description lock), ends with the process, and whether it is held can be asked without taking it.
The file stays: removing it would let a second process lock another of the same name.
"""

import errno
import fcntl
import os
import stat
import struct

_MODE = 0o600


def take_lock(directory_fd: int, name: str) -> int | None:
    """A descriptor that holds the lock ``name`` in the directory until it is closed; None when somebody else has it.

    What root makes belongs to the owner of the directory. Raises `OSError`.
    """
    taking = _open(directory_fd, name, os.O_RDWR | os.O_CREAT)
    try:
        _give_to_owner_of(directory_fd, taking)
        try:
            fcntl.fcntl(taking, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
        except BlockingIOError:
            return None
        # From here on it is shared with the one descriptor that holds it, which is for reading only: one that is open
        # for writing would keep the disk from being remounted read-only. Who wants the lock wants it for himself.
        fcntl.fcntl(taking, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_RDLCK))
        holding = _open(directory_fd, name, os.O_RDONLY)
        fcntl.fcntl(holding, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_RDLCK))
        return holding
    finally:
        os.close(taking)


def is_locked(directory_fd: int, name: str) -> bool:
    """Whether somebody holds the lock ``name`` in the directory; nothing is made or taken. Raises `OSError`."""
    try:
        fd = _open(directory_fd, name, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
    finally:
        os.close(fd)
    (kind,) = struct.unpack_from("@h", found)
    return bool(kind != fcntl.F_UNLCK)


def _open(directory_fd: int, name: str, flags: int) -> int:
    try:
        fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, _MODE, dir_fd=directory_fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # a link, a socket, a directory
            raise _not_regular(name) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _not_regular(name)
    return fd


def _not_regular(name: str) -> OSError:
    return OSError(errno.EINVAL, f"{name}, which is to be locked, is not a regular file; remove it")


def _give_to_owner_of(directory_fd: int, fd: int) -> None:
    directory, file = os.fstat(directory_fd), os.fstat(fd)
    # One that has another name, too, may be anybody's file.
    if os.geteuid() == 0 and file.st_uid != directory.st_uid and file.st_nlink == 1:
        os.fchown(fd, directory.st_uid, directory.st_gid)


def _whole_file(kind: int) -> bytes:
    """A ``struct flock``, with its padding."""
    return struct.pack("@hhqqi0q", kind, os.SEEK_SET, 0, 0, 0)
