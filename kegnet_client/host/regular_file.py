"""Opens files by name in such a way that nothing under that name can hang the program or fill its memory.

Opening a FIFO blocks until somebody writes to it, reading a device may never end. So what a person names, and what
others can put something else in the place of, is opened here: without blocking, judged on the open descriptor, and
read up to a bound. Whatever is wrong is an `OSError` whose ``strerror`` says it.
"""

import errno
import os
import stat
from pathlib import Path

NOT_REGULAR = "not a regular file"


def read_regular(path: Path | str, most_bytes: int, *, dir_fd: int | None = None, follow_link: bool = True) -> bytes:
    """All that is in the regular file ``path``, which has ``most_bytes`` at most."""
    fd = open_regular(path, dir_fd=dir_fd, follow_link=follow_link)
    try:
        return read_whole(fd, most_bytes)
    finally:
        os.close(fd)


def open_regular(path: Path | str, *, dir_fd: int | None = None, follow_link: bool = True) -> int:
    """A descriptor to read the regular file ``path`` from; a relative one hangs from the directory ``dir_fd``."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(path, flags if follow_link else flags | os.O_NOFOLLOW, dir_fd=dir_fd)
    except OSError as error:
        # A socket; a link that is not to be followed.
        if error.errno == errno.ENXIO or (error.errno == errno.ELOOP and not follow_link):
            raise _not_regular() from None
        raise
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) if stat.S_ISDIR(mode) else _not_regular()


def read_whole(fd: int, most_bytes: int) -> bytes:
    """All that is left to read from ``fd``, which is ``most_bytes`` at most."""
    parts: list[bytes] = []
    left = most_bytes + 1
    while left and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    if not left:
        raise OSError(errno.EFBIG, f"larger than {most_bytes // 1024} KiB")
    return b"".join(parts)


def _not_regular() -> OSError:
    return OSError(errno.EINVAL, NOT_REGULAR)
