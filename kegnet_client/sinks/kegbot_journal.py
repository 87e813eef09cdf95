"""What is known of each pour that was sent to a Kegbot server: it may have become a drink there, or it did.

One small file a pour, named after its nonce, in a directory of its own; each is synced before anything depends on it.
An entry is written before the pour is posted, and outlives the pour's file in the spool by far: whoever removes that
file is not known here, and a pour that comes again after a power cut must find that it is a drink already.

When a post began is in its file by the clock of this boot, which nobody can set: a doubt ends in its time however
often the daemon is started or reloaded meanwhile. What another boot wrote counts from when it is first found here; how
long an entry is kept, from each process's start.
"""

import contextlib
import errno
import json
import logging
import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kegnet_client import RELEASED_MS
from kegnet_client.core.errors import ConfigError
from kegnet_client.host.atomic_file import TEMP_SUFFIX, owner_in, sync_directory, write_file
from kegnet_client.host.boot import read_boot_id
from kegnet_client.host.clock import Clock
from kegnet_client.host.regular_file import read_regular

DEADLINE_S = 20.0
"""A post is over after that: a page of a hundred drinks takes a Kegbot server on a small Pi its time."""
KEPT_S = 86_400.0
"""How long of a process's life an entry of a drink outlives it."""
KEPT_AT_MOST_MS = 30 * 86_400_000
"""How long it does for a device that never runs so long."""

_PAIRED = "token"
_MODE = 0o600
_MAX_FILE_BYTES = 4096
_UNTOLD_BOOT = secrets.token_hex(16)
"""This process's name for the boot, where nobody tells it: the next process takes it for another one."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file says. ``highest`` is the highest id that a drink had before; ``drink`` is the one that it became.

    ``may_be_two`` says that it was posted again after a post that ended in doubt; ``at_ms`` is the Unix time of the
    entry, and ``begun_ms`` when the last post began on the clock of intervals of ``boot``.
    """

    highest: int
    drink: int | None
    may_be_two: bool
    at_ms: int
    boot: str = ""
    begun_ms: int = 0


@dataclass(slots=True)
class Entry:
    """A pour that was posted. ``tried_s`` is when that ended, or may have, on the clock of intervals; ``known_s`` since
    when this process knows of it; ``pin`` is the pour's, None until it comes to this process; ``look_s`` when to look
    again; ``found`` are the drinks that it was found to be."""

    stored: Stored
    tried_s: float
    known_s: float
    pin: int | None = None
    look_s: float = 0.0
    found: Sequence[int] = ()


class Journal:
    """Keeps the entries in ``directory``, which it makes; for one thread. Raises `ConfigError` where that cannot be."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.path = directory
        self._clock = clock
        self._boot = _find_boot()
        try:
            self._fd = _open(directory)
            try:
                self.entries = self._load()
            except BaseException:
                os.close(self._fd)
                raise
        except OSError as error:
            raise ConfigError(
                f"{directory}: journal: cannot be used ({error.strerror}); make it a directory of the user that runs "
                "kegnet-client, or name another under [Kegbot]"
            ) from None

    def begin(self, nonce: int, highest: int, pin: int) -> None:
        """A post of ``nonce`` begins. Raises `OSError`, and nothing may be posted then."""
        self._follow()
        entry = self.entries.get(nonce)
        now = self._clock.now()
        now_s = now.monotonic_s
        if entry is None:
            # From here on it is in doubt, until something else is known.
            stored = Stored(highest, None, False, now.wall_ms, self._boot, round(now_s * 1000))
            self._write(nonce, stored)
            self.entries[nonce] = Entry(stored, now_s, now_s, pin)
        else:
            self._replace(nonce, self._begun(replace(entry.stored, may_be_two=True), now_s))
            entry.tried_s = now_s

    def doubt(self, nonce: int) -> None:
        """The post that began last ended so that nobody knows: what is on disk says no more than that it began."""
        self.entries[nonce].tried_s = self._clock.monotonic_s()

    def settle(self, nonce: int, drink: int) -> None:
        """It is ``drink``. Raises `OSError`."""
        self._replace(nonce, replace(self.entries[nonce].stored, drink=drink, at_ms=self._clock.wall_ms()))

    def swept(self, nonce: int) -> None:
        """There is no second drink of it. Raises `OSError`."""
        self._replace(nonce, replace(self.entries[nonce].stored, may_be_two=False))

    def forget(self, nonce: int) -> None:
        """Nothing came of it, for certain, or all is long over."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_name(nonce), dir_fd=self._fd)
        del self.entries[nonce]

    def forget_old(self) -> None:
        """Let go of what no pour in the spool can need any more."""
        now_s = self._clock.monotonic_s()
        over = [
            nonce
            for nonce, one in self.entries.items()
            if _is_over(one.stored) and now_s >= max(one.tried_s, one.known_s) + KEPT_S
        ]
        for nonce in over:
            self.forget(nonce)

    def read_token(self) -> str | None:
        """The token of the pairing with a server of 2.0, if there is one. Raises `OSError`."""
        self._follow()
        return self._find_token()

    def _find_token(self) -> str | None:
        try:
            data = read_regular(_PAIRED, _MAX_FILE_BYTES, dir_fd=self._fd, follow_link=False)
        except FileNotFoundError:
            return None
        return data.decode("ascii", "replace")

    def keep_token(self, token: str) -> None:
        """Keep ``token``, printable ASCII, for good. Raises `OSError`."""
        _write_token(self._fd, token)

    def drop_token(self) -> None:
        """It is not taken any more. Raises `OSError`."""
        os.unlink(_PAIRED, dir_fd=self._fd)

    def close(self) -> None:
        """Close the directory; it is not used any more."""
        os.close(self._fd)

    def _load(self) -> dict[int, Entry]:
        now = self._clock.now()
        entries: dict[int, Entry] = {}
        for name in os.listdir(self._fd):  # noqa: PTH208 (a descriptor stays what was judged)
            nonce = _nonce(name)
            stored = None if nonce is None else self._read(name, now.wall_ms)
            if nonce is None or stored is None:
                if name.endswith(TEMP_SUFFIX):
                    os.unlink(name, dir_fd=self._fd)
                continue
            entries[nonce] = self._take_up(nonce, stored, now.monotonic_s)
        return entries

    def _take_up(self, nonce: int, stored: Stored, now_s: float) -> Entry:
        """The entry of what a process before wrote."""
        if stored.boot == self._boot and stored.begun_ms <= now_s * 1000:  # a container's clock may be another one
            return Entry(stored, min(now_s, stored.begun_ms / 1000 + DEADLINE_S), now_s)
        if not _is_over(stored):
            # Nobody knows how long ago that was; from now on it is known.
            stored = self._begun(stored, now_s)
            try:
                self._write(nonce, stored)
            except OSError as error:
                log.debug("%s: the wait for post %x begins anew with the next start: %s", self.path, nonce, error)
        return Entry(stored, now_s, now_s)

    def _begun(self, stored: Stored, now_s: float) -> Stored:
        return replace(stored, boot=self._boot, begun_ms=round(now_s * 1000))

    def _read(self, name: str, wall_ms: int) -> Stored | None:
        """What the file ``name`` says; None, and it goes, where it is of a drink of long ago.

        One in doubt stays: its pour may come again, however long the device was off and however its clock was set.
        """
        try:
            stored = _parse(read_regular(name, _MAX_FILE_BYTES, dir_fd=self._fd, follow_link=False))
        except ValueError:
            stored = Stored(0, None, True, wall_ms)  # damaged: whatever it said, the pour may be a drink
        is_dated = stored.at_ms > RELEASED_MS  # or the clock was not set yet
        if is_dated and _is_over(stored) and wall_ms - stored.at_ms > KEPT_AT_MOST_MS:
            os.unlink(name, dir_fd=self._fd)
            return None
        return stored

    def _replace(self, nonce: int, stored: Stored) -> None:
        self.entries[nonce].stored = stored  # also where it cannot be written
        self._write(nonce, stored)

    def _write(self, nonce: int, stored: Stored) -> None:
        _write(self._fd, nonce, stored)

    def _follow(self) -> None:
        """Where the directory was moved away or removed, as with the spool around it, go on in one at its path with all
        that is known. Raises `OSError`."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(self.path.stat(follow_symlinks=False), os.fstat(self._fd)):
                return
        token = self._find_token()
        fd = _open(self.path)
        try:
            if token is not None:
                _write_token(fd, token)
            for nonce, entry in self.entries.items():
                _write(fd, nonce, entry.stored)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd = fd
        self.entries = {**self._load(), **self.entries}
        log.warning("%s was replaced; what is known of the pours is in the new one", self.path)


def _write(directory_fd: int, nonce: int, stored: Stored) -> None:
    data = json.dumps(asdict(stored)).encode("ascii")
    write_file(directory_fd, _name(nonce), data, _MODE, owner_in(directory_fd))


def _write_token(directory_fd: int, token: str) -> None:
    write_file(directory_fd, _PAIRED, token.encode("ascii"), _MODE, owner_in(directory_fd))


def _parse(data: bytes) -> Stored:
    """What ``data`` says; `ValueError` where it is damaged."""
    try:
        stored = Stored(**json.loads(data))
    except TypeError:
        raise ValueError("other fields") from None
    numbers = (stored.highest, stored.drink or 0, stored.at_ms, stored.begun_ms)
    if not all(isinstance(number, int) for number in numbers):
        raise ValueError("no numbers")
    return stored


def _find_boot() -> str:
    try:
        return read_boot_id()
    except OSError as error:
        log.debug("nobody tells this boot from another, so doubts begin anew with each process: %s", error)
        return _UNTOLD_BOOT


def _is_over(stored: Stored) -> bool:
    return stored.drink is not None and not stored.may_be_two


def _name(nonce: int) -> str:
    return f"{nonce:012x}"


def _nonce(name: str) -> int | None:
    try:
        nonce = int(name, 16)
    except ValueError:
        return None
    return nonce if name == _name(nonce) else None


def _open(directory: Path) -> int:
    try:
        os.mkdir(directory, 0o700)  # noqa: PTH102 (as all else here: a test cuts the power between its steps)
        is_new = True
    except FileExistsError:
        is_new = False
    fd = os.open(directory, _DIRECTORY)
    try:
        parent, own = directory.parent.stat(), os.fstat(fd)
        if is_new and os.geteuid() == 0:
            os.fchown(fd, parent.st_uid, parent.st_gid)
        elif own.st_uid not in (os.geteuid(), parent.st_uid) or own.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            # Who can write here can have any pour taken for one that is a drink already.
            raise PermissionError(errno.EPERM, "others can write there")
        sync_directory(directory.parent)  # who made it may have ended before it did so
    except BaseException:
        os.close(fd)
        raise
    return fd
