"""``kegnet-client rotate-key``: another private key, without a record lost or refused on the way.

========================  ====================================  =================  ==================
step                      what stands beside the key            the hub takes      the daemon signs
========================  ====================================  =================  ==================
1. make a key             ``.next``                             the old key        with the old key
2. announce it            ``.next``                             both               with the old key
3. switch                 ``.previous``, which is the old one   both               with the old key
4. have it taken over     ``.previous``                         both               with the new key
5. confirm it             ``.previous``                         the new key        with the new key
6. remove the old one     nothing                               the new key        with the new key
========================  ====================================  =================  ==================

Each row is a working device. What is on disk says how far it is, so that after a failure or a crash the same
command goes on where it stood. The old key is retired only when the process that delivers was seen to use the
new one: it says so in its state file. Under systemd, where it has a copy that was made at its start, it takes a
restart, elsewhere a reload.

The word of the old key for the new one stays beside the key, in ``.words``: a hub that was restored from a backup of
before a change refuses the device, and takes its key by that word when the next change begins. It is no secret.

Limits: what holds the spool but says nothing of itself, such as ``kegnet-client send``, has to end first.

Security: both files are made with mode 0600 and the key's owner, and the new key replaces the old one by rename.
"""

import base64
import contextlib
import json
import os
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kegnet_client.config.settings import Config
from kegnet_client.core.errors import (
    ConfigError,
    KegnetError,
    ServerRefusalError,
    SpoolError,
    TransportError,
    UntrustedServerError,
)
from kegnet_client.core.wire import enrolment as wire
from kegnet_client.core.wire.answer import Answer
from kegnet_client.enrolment.hub_client import Post, call, describe
from kegnet_client.host import systemctl
from kegnet_client.host.atomic_file import TEMP_SUFFIX, write_file
from kegnet_client.host.clock import Clock
from kegnet_client.host.lock_file import take_lock
from kegnet_client.host.regular_file import read_regular
from kegnet_client.host.root import DEFAULT_ROOT
from kegnet_client.host.state_file import StateFile
from kegnet_client.keys import MAX_KEY_FILE_BYTES, Identity, generate_private_key, load_identity
from kegnet_client.sinks.kegnet_section import KEGNET
from kegnet_client.sinks.open import reach
from kegnet_client.spool.lock import is_delivered_from
from kegnet_client.spool.section import SPOOL

TAKE_OVER_S = 30.0
LOOK_S = 0.1
MAX_WORDS = 20
LOCK = ".rotate-key.lock"
"""Beside the key, where only its owner can open it."""

_TEMPORARY = re.compile(r"\.[0-9a-f]{16}" + re.escape(TEMP_SUFFIX))
_AGAIN = "run `kegnet-client rotate-key` again to go on"


Word = dict[str, str]
"""What was told at `wire.ROTATE_PATH`: a key's word for the next one."""


class UnfinishedError(KegnetError):
    """The change stands between two steps, and the device works as it is: run it again."""

    exit_code = 75


def rotate_key(config: Config, take_over_s: float = TAKE_OVER_S) -> int:
    """Change the key of the device, or go on with it. Raises `KegnetError`."""
    rotation = Rotation(config, take_over_s)
    rotation.run()
    return 0


class Rotation:
    """The change of one device's key; every step may be the first that is left to do."""

    def __init__(self, config: Config, take_over_s: float) -> None:
        self._config = config
        self._settings = settings = config.section(KEGNET)
        self._spool = config.section(SPOOL).directory
        self._take_over_s = take_over_s
        # A link to the key stays one.
        self._path = Path(os.path.realpath(settings.private_key))
        self._next = self._path.with_name(self._path.name + ".next")
        self._previous = self._path.with_name(self._path.name + ".previous")
        self._words = self._path.with_name(self._path.name + ".words")
        self._hub = settings.base.url.rpartition("/rest/")[0]

    def run(self) -> None:
        """Do what is left to do."""
        with self._alone(), contextlib.closing(reach(self._settings, Clock())) as transport:
            with self._writing():
                self._clear_away()
            key = self._load(self._path)
            if not self._is_switched(key):
                new = self._make()
                self._announce(transport.post, key, new)
                print("The server takes the new key beside the old one.")
                with self._writing():
                    self._switch()
                key = new
            with self._writing():
                self._write_public(key)
            print(self._have_taken_over(key.fingerprint))
            self._confirm(transport.post, key)
            with self._writing():
                self._previous.unlink(missing_ok=True)
                os.fsync(self._directory)
            print(f"The key in {self._settings.private_key} is the new one, and the only one that the server takes.")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"{self._path.parent}: cannot be opened ({error.strerror}); run this with sudo") from None
        try:
            with self._writing():
                lock = take_lock(self._directory, LOCK)
            if lock is None:
                raise UnfinishedError("another rotate-key is at work")
            try:
                yield
            finally:
                os.close(lock)
        finally:
            os.close(self._directory)

    def _clear_away(self) -> None:
        """Remove what a run that died left half written: it may hold a key."""
        for path in self._path.parent.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                path.unlink()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnfinishedError(
                f"{self._path.parent}: {error.strerror}; the key there is good as it is. See that there is room and "
                f"that the directory is yours to write in (sudo), then {_AGAIN}"
            ) from None

    def _load(self, path: Path) -> Identity:
        return load_identity(self._settings.uuid, path, self._settings.base.version)

    def _is_switched(self, key: Identity) -> bool:
        if not os.path.lexists(self._previous):
            return False
        try:
            return self._load(self._previous).fingerprint != key.fingerprint
        except ConfigError as error:
            raise ConfigError(f"{self._previous} is in the way, move it elsewhere: {error}") from None

    def _make(self) -> Identity:
        try:
            return self._load(self._next)
        except ConfigError:
            # None is there, or none that could ever be used: no server can have been told of it for good.
            with self._writing():
                write_file(self._directory, self._next.name, generate_private_key(), 0o600)
        return self._load(self._next)

    def _announce(self, post: Post, old: Identity, new: Identity) -> None:
        request = new.certificate_request().decode("ascii")
        signature = _base64(old.sign(wire.rotation_bytes(request)))
        unchanged = "the key was not changed"
        word = {"device": new.uuid, "request": request, "signature": signature}
        answer = self._tell(post, word, unchanged)
        if answer.status == 401 and self._tell_words(post, unchanged):
            answer = self._tell(post, word, unchanged)
        if answer.status == 200:
            with self._writing():
                self._keep_word(word)
            return
        if answer.status == 401:
            raise ServerRefusalError(f"{self._hub}: {describe(answer)}; {unchanged}")
        if answer.status >= 500 and answer.status != 501:
            raise UnfinishedError(f"{self._hub}: {describe(answer)}; {unchanged}, {_AGAIN}")
        key, next_key = shlex.quote(str(self._path)), shlex.quote(str(self._next))
        raise ServerRefusalError(
            f"{self._hub}: {describe(answer)}; it does not know how to change a key, and {unchanged}. By hand: "
            f"register the public key that `openssl pkey -in {next_key} -pubout` prints there, "
            f"`mv {next_key} {key}`, restart kegnet-client"
        )

    def _tell(self, post: Post, word: Word, how_it_stands: str) -> Answer:
        return self._ask(lambda: call(post, self._hub + wire.ROTATE_PATH, **word), how_it_stands)

    def _tell_words(self, post: Post, how_it_stands: str) -> bool:
        """Tell a hub that may have forgotten them what the keys before said of those after them; whether there is any.

        It takes those that follow from the key that it knows, and refuses the others.
        """
        words = self._read_words()
        taken = [self._tell(post, word, how_it_stands).status == 200 for word in words]
        if any(taken):
            print("The server did not know the key of this device any more, and took it by the word of the one before.")
        return any(taken)

    def _read_words(self) -> list[Word]:
        try:
            words = json.loads(read_regular(self._words, MAX_KEY_FILE_BYTES * MAX_WORDS))
        except (OSError, ValueError, RecursionError):
            return []  # none was kept, or somebody wrote there: what a key said is worth nothing else
        names = {"device", "request", "signature"}
        return [
            one
            for one in (words if isinstance(words, list) else [])
            if isinstance(one, dict) and set(one) == names and all(isinstance(text, str) for text in one.values())
        ]

    def _keep_word(self, word: Word) -> None:
        status = self._path.stat()
        words = [*(one for one in self._read_words() if one != word), word][-MAX_WORDS:]
        content = json.dumps(words).encode("ascii")
        write_file(self._directory, self._words.name, content, 0o600, (status.st_uid, status.st_gid))

    def _switch(self) -> None:
        owner = self._path.stat()
        write_file(self._directory, self._previous.name, read_regular(self._path, MAX_KEY_FILE_BYTES), 0o600)
        if os.geteuid() == 0:  # anyone else who can read the key owns it
            for path in (self._previous, self._next):
                os.chown(path, owner.st_uid, owner.st_gid)
        os.rename(self._next.name, self._path.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        os.fsync(self._directory)

    def _write_public(self, key: Identity) -> None:
        public = self._config.file.with_name("device.pub")
        directory = os.open(public.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            write_file(directory, public.name, key.public_pem(), 0o644)
            request = public.with_name("device.csr")
            if request.exists():
                write_file(directory, request.name, key.certificate_request(), 0o644)
        finally:
            os.close(directory)

    def _have_taken_over(self, fingerprint: str) -> str:
        """Have the process that delivers use the new key; what was done. It is asked only if it does not yet."""
        state = StateFile(self._config.root)
        said = state.read() or {}
        runs = bool(said) or self._is_delivering()
        service = systemctl.main_pid()
        if runs and said.get("key") == fingerprint:
            return "The new key is in use."
        if service is not None and (service == said.get("pid") or self._config.root == DEFAULT_ROOT):
            if why := systemctl.restart():
                raise UnfinishedError(f"the service could not be restarted with the new key: {why}; then {_AGAIN}")
            done = "The service was restarted with the new key."
        elif runs:
            self._hang_up(said.get("pid"))
            done = "The running kegnet-client took over the new key."
        else:
            return "Nothing delivers at the moment; what starts next uses the new key."
        deadline_s = time.monotonic() + self._take_over_s
        while (state.read() or {}).get("key") != fingerprint:
            if time.monotonic() > deadline_s:
                raise UnfinishedError(
                    f"what delivers from {self._spool} was not seen to use the new key; the server takes the "
                    f"old one still. See its log, restart it, then {_AGAIN}"
                )
            time.sleep(LOOK_S)
        return done

    def _is_delivering(self) -> bool:
        try:
            spool = os.open(self._spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise UnfinishedError(f"{self._spool}: {error.strerror}; fix that, then {_AGAIN}") from None
        try:
            return is_delivered_from(self._spool, spool)
        except SpoolError as error:
            raise UnfinishedError(f"{error}; then {_AGAIN}") from None
        finally:
            os.close(spool)

    def _hang_up(self, pid: int | None) -> None:
        if pid is None:
            raise UnfinishedError(
                f"something delivers from {self._spool} and does not say what it is; when it has ended, {_AGAIN}"
            )
        try:
            os.kill(pid, signal.SIGHUP)
        except PermissionError:
            raise UnfinishedError(f"process {pid} is another user's: with sudo, {_AGAIN}") from None
        except ProcessLookupError:
            raise UnfinishedError(f"process {pid} has just ended: {_AGAIN}") from None

    def _confirm(self, post: Post, key: Identity) -> None:
        signature = _base64(key.sign(wire.confirmation_bytes(key.uuid, key.fingerprint)))
        both = "the new key is in use, and the server takes the old one still"
        fields = {"device": key.uuid, "fingerprint": key.fingerprint, "signature": signature}

        def confirm() -> Answer:
            return call(post, self._hub + wire.CONFIRM_PATH, **fields)

        answer = self._ask(confirm, both)
        if answer.status == 401 and self._tell_words(post, both):
            answer = self._ask(confirm, both)
        if answer.status == 401:
            raise ServerRefusalError(f"{self._hub}: {describe(answer)}; the key before it is kept: {self._previous}")
        if answer.status != 200:
            raise UnfinishedError(f"{self._hub}: {describe(answer)}; {both}, {_AGAIN}")

    def _ask(self, exchange: Callable[[], Answer], how_it_stands: str) -> Answer:
        try:
            return exchange()
        except UntrustedServerError as error:
            raise UntrustedServerError(f"{self._hub}: {error}; {how_it_stands}") from error
        except TransportError as error:
            raise UnfinishedError(f"{self._hub}: {error}; {how_it_stands}, {_AGAIN}") from error


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
