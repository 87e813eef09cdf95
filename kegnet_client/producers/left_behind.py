"""What producers leave behind in a spool, found by its names.

Security: any member of the spool's group may put files under such names there. Those are left alone, however many they
are, and nothing depends on whether there is one.
"""

import logging
import os
import re
from contextlib import suppress

from kegnet_client.spool.directory import printable

log = logging.getLogger(__name__)


def find_ours(directory_fd: int, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """The names of ``pattern`` in the directory whose files are this user's or its owner's. Raises `OSError`."""
    owners = (os.geteuid(), os.fstat(directory_fd).st_uid)
    ours: list[re.Match[str]] = []
    others: list[str] = []
    with os.scandir(directory_fd) as entries:
        for match in filter(None, (pattern.fullmatch(entry.name) for entry in entries)):
            with suppress(FileNotFoundError):  # another one of us took it up
                owner = os.stat(match.string, dir_fd=directory_fd, follow_symlinks=False).st_uid
                if owner in owners:
                    ours.append(match)
                else:
                    others.append(match.string)
    if others:
        log.warning(
            "%s and so named, %d in all, are another user's, not what a producer left behind; they stay",
            printable(min(others)),
            len(others),
        )
    return sorted(ours, key=lambda match: match.string)
