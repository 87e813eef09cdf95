"""Announcements: which server has a device's programs, as an operator says who may sign.

One is kept as it was signed, and judged again at each start: a server that a key has announced is left when that key is
revoked. Its sequence is kept apart from those of programs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kegnet_client.core.errors import ConfigError, DocumentError
from kegnet_client.host.atomic_file import open_directory, write_file
from kegnet_client.host.regular_file import read_regular
from kegnet_client.runner.sequences import Sequences
from kegnet_client.runner.statement import (
    is_for,
    read_expires_ms,
    read_list,
    read_sequence,
    read_signature,
    signed_bytes,
)
from kegnet_client.runner.trust import Trust
from kegnet_client.runner.url import check_url

KIND = "server"
DIRECTORY = "announced"
FILE = "server.json"
MAX_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Announcement:
    """What one says. ``server`` is a URL that a password may go to."""

    server: str
    targets: frozenset[str]
    sequence: int
    expires_ms: int


def read_announcement(document: Mapping[str, Any]) -> Announcement:
    """What ``document`` says, whoever signed it. Raises `DocumentError`."""
    if document.get("type") != KIND or not isinstance(server := document.get("server"), str):
        raise DocumentError("it announces no server")
    expires_ms = read_expires_ms(document)
    if expires_ms is None:
        raise DocumentError("an announcement needs expires, so that nobody repeats it in a year")
    try:
        return Announcement(check_url(server), read_list(document), read_sequence(document), expires_ms)
    except ValueError as error:
        raise DocumentError(f"its server {error}") from None


class Announcements:
    """Those for the device of these ``names``, kept below the runner's ``directory``. Raises `ConfigError`."""

    def __init__(self, directory: Path, names: frozenset[str], trust: Trust) -> None:
        self._directory = directory / DIRECTORY
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self._directory}: cannot be made: {error.strerror}") from None
        self._names = names
        self._trust = trust
        self._sequences = Sequences(self._directory)

    def server(self) -> str | None:
        """The one that was announced last; None without one. Raises `DocumentError`: its key may not sign any more."""
        try:
            document = json.loads(read_regular(self._directory / FILE, MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise DocumentError(f"{self._directory / FILE}: cannot be read: {error}") from None
        if not isinstance(document, dict):
            raise DocumentError(f"{self._directory / FILE}: holds no announcement")
        announcement = read_announcement(document)
        self._trust.find_signer(signed_bytes(document), read_signature(document))
        return announcement.server

    def take(self, document: Mapping[str, Any], now_ms: int) -> str | None:
        """Keep what ``document`` announces; its server if that is news here. Raises `DocumentError`, `OSError`."""
        announcement = read_announcement(document)
        if not is_for(announcement.targets, self._names):
            return None
        signature = read_signature(document)
        self._trust.check_key(signature)
        signed = signed_bytes(document)
        if now_ms >= announcement.expires_ms:
            raise DocumentError("it has expired")
        signer = self._trust.find_signer(signed, signature)
        digest = hashlib.sha256(signed).hexdigest()
        if problem := self._sequences.refusal(signer, KIND, announcement.sequence, digest):
            raise DocumentError(problem)
        if self._is_kept(signed):
            return None
        self._sequences.take(signer, KIND, announcement.sequence, digest)
        with open_directory(self._directory) as fd:
            write_file(fd, FILE, json.dumps(dict(document)).encode(), 0o600)
        return announcement.server

    def _is_kept(self, signed: bytes) -> bool:
        try:
            return signed_bytes(json.loads(read_regular(self._directory / FILE, MAX_BYTES))) == signed
        except (OSError, ValueError, RecursionError, AttributeError, DocumentError):
            return False
