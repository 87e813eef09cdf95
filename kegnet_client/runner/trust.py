"""Who signed a document, as the machine's own ``ssh-keygen`` judges by two files that only root writes.

``allowed_signers`` is OpenSSH's (ssh-keygen(1), ALLOWED SIGNERS): principals, namespaces, validity. What it allows is
less by ``revoked_signers``, a key revocation list. Without the first file nobody may sign; one that cannot be read
refuses everybody.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kegnet_client.core.errors import ConfigError, DocumentError
from kegnet_client.runner.statement import NAMESPACE

DEADLINE_S = 20.0
REVOKED = "revoked_signers"
ALLOWED = "allowed_signers"
_REFUSAL = "its signature is not one that this device allows, of these bytes, now"


@dataclass(frozen=True, slots=True)
class Trust:
    """The two files. ``version`` changes when one of them does."""

    allowed: Path
    revoked: Path

    def find_signer(self, signed: bytes, signature: bytes) -> str:
        """The principal whose ``signature`` is of the bytes ``signed``, now. Raises `DocumentError`, `ConfigError`."""
        with self._file_of(signature) as fd:
            for principal in self._principals(fd):
                words = ["verify", "-s", _path(fd), "-f", str(self.allowed), "-n", NAMESPACE, "-I", principal]
                # A list that is there and cannot be used refuses all.
                if os.path.lexists(self.revoked):
                    words += ["-r", str(self.revoked)]
                os.lseek(fd, 0, os.SEEK_SET)
                if self._run(words, signed, fd).returncode == 0:
                    return principal
        raise DocumentError(_REFUSAL)

    def check_key(self, signature: bytes) -> None:
        """Refuse a ``signature`` by a key of nobody here: that takes none of the bytes that it is of.

        Raises `DocumentError`, `ConfigError`.
        """
        with self._file_of(signature) as fd:
            if not self._principals(fd):
                raise DocumentError(_REFUSAL)

    def version(self) -> tuple[object, ...]:
        """Something else each time that one of the files is another one."""
        return tuple(_stamp(path) for path in (self.allowed, self.revoked))

    @contextlib.contextmanager
    def _file_of(self, signature: bytes) -> Iterator[int]:
        if not self.allowed.is_file():
            raise DocumentError(f"nobody may sign for this device: {self.allowed} does not exist")
        fd = os.memfd_create("signature")
        try:
            os.write(fd, signature)
            yield fd
        finally:
            os.close(fd)

    def _principals(self, fd: int) -> list[str]:
        """Those whose key made the signature in ``fd``."""
        found = self._run(["find-principals", "-s", _path(fd), "-f", str(self.allowed)], b"", fd)
        return list(dict.fromkeys(found.stdout.decode("utf-8", "replace").splitlines()))

    @staticmethod
    def _run(words: Sequence[str], data: bytes, fd: int) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(  # noqa: S603 (the signature goes by a file, the bytes by stdin)
                [find_ssh_keygen(), "-Y", *words],
                input=data,
                capture_output=True,
                check=False,
                timeout=DEADLINE_S,
                pass_fds=(fd,),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DocumentError(f"its signature could not be judged: {error}") from None


def sign(signed: bytes, key: Path) -> str:
    """The signature of the bytes ``signed`` by ``key``, a private key or, with an agent, a public one.

    ``ssh-keygen`` asks for a passphrase on the terminal where there is one to ask for. Raises `ConfigError`.
    """
    done = subprocess.run(  # noqa: S603 (the operator names the key)
        [find_ssh_keygen(), "-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE],
        input=signed,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise ConfigError(f"{key}: ssh-keygen did not sign with it, see what it says above")
    return done.stdout.decode("ascii")


def find_ssh_keygen() -> str:
    """Where the program is. Raises `ConfigError`."""
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ConfigError("ssh-keygen is not here: apt-get install openssh-client")
    return program


def _path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    # The change time, too: of a file that becomes readable, or was put back with its old date, nothing else is new.
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size
