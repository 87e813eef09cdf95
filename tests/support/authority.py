"""A CA, and the certificates of servers, good and bad."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kegnet_client.hub import pki


class Authority:
    """A CA of its own: ``ca`` is its certificate, ``bundle`` the file that holds it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = pki.make_key()
        self.ca = pki.make_ca(self._key, directory.name, datetime.now(UTC))
        self.bundle = directory / "ca.pem"
        self.bundle.write_bytes(self.ca)

    def issue(self, *hosts: str, days: int = 0) -> Path:
        """A server's certificate, made so many days from now, and its key."""
        key = pki.make_key()
        when = datetime.now(UTC) + timedelta(days=days)
        return self._write(pki.issue_server(self._key, self.ca, key, [*(hosts or ("localhost",))], when), key)

    def self_signed(self) -> Path:
        """The same for a server that vouches for itself."""
        key = pki.make_key()
        return self._write(pki.make_ca(key, "localhost", datetime.now(UTC)), key)

    def _write(self, certificate: bytes, key: bytes) -> Path:
        chain = self._directory / f"{uuid.uuid4().hex}.pem"
        chain.write_bytes(certificate + key)
        return chain
